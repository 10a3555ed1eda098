import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/** pgJDBC through `shiftkey proxy`, with the URL that `shiftkey url` prints. */
class Through {
    public static void main(String[] args) throws Exception {
        String url = args[0];
        check(!url.contains("password"), "the URL holds a password");
        try (Connection connection = DriverManager.getConnection(url); Connection other = DriverManager.getConnection(url)) {
            isAlice(connection);
            try (PreparedStatement statement = connection.prepareStatement("select ?::int + 1")) {
                // Beyond the fifth time it is prepared on the server.
                for (int i = 0; i < 10; i++) {
                    statement.setInt(1, i);
                    ResultSet row = statement.executeQuery();
                    check(row.next() && row.getInt(1) == i + 1, "prepared");
                }
            }
            check(text(connection, "select repeat('y', 20000000)").length() == 20_000_000, "large row");
            try (Statement statement = connection.createStatement()) {
                statement.execute("select 1; select 2");
                check(statement.getMoreResults() && statement.getResultSet().next() && statement.getResultSet().getInt(1) == 2, "multi");
            }
            cursor(connection);
            notifications(connection, other);
            copies(connection);
            cancels(connection, other);
            isAlice(connection);
        }
        System.out.println("ok   pgJDBC: prepared, cursors, batches, LISTEN, COPY both ways, cancel; it has no sockets");
    }

    private static void cursor(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(500);
            ResultSet rows = statement.executeQuery("select generate_series(1, 20000)");
            long sum = 0;
            while (rows.next()) {
                sum += rows.getInt(1);
            }
            check(sum == 200_010_000L, "cursor");
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    private static void notifications(Connection connection, Connection other) throws SQLException {
        connection.createStatement().execute("listen news");
        other.createStatement().execute("notify news, 'arrived'");
        check(connection.unwrap(PGConnection.class).getNotifications(60_000)[0].getParameter().equals("arrived"), "LISTEN");
    }

    private static void copies(Connection connection) throws Exception {
        connection.createStatement().execute("create temp table copied (number int, text text)");
        // A batch is a pipeline.
        try (PreparedStatement statement = connection.prepareStatement("insert into copied values (?, 'batch')")) {
            for (int i = 0; i < 1000; i++) {
                statement.setInt(1, i);
                statement.addBatch();
            }
            check(statement.executeBatch().length == 1000, "batch");
        }
        connection.createStatement().execute("truncate copied");
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < 10_000; i++) {
            lines.append(i).append('\t').append("x".repeat(500)).append('\n');
        }
        CopyManager manager = connection.unwrap(PGConnection.class).getCopyAPI();
        check(manager.copyIn("copy copied from stdin", new StringReader(lines.toString())) == 10_000, "COPY in");
        ByteArrayOutputStream received = new ByteArrayOutputStream();
        manager.copyOut("copy copied to stdout", received);
        check(received.toString("UTF-8").contentEquals(lines), "COPY out");
    }

    private static void cancels(Connection connection, Connection other) throws Exception {
        Statement statement = connection.createStatement();
        String running = "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like '%/* pgjdbc */%'";
        Thread canceller = new Thread(() -> {
            try {
                for (int i = 0; i < 20_000 && text(other, running).equals("0"); i++) { }
                statement.cancel();
            } catch (SQLException error) {
                throw new IllegalStateException(error);
            }
        });
        canceller.start();
        try {
            statement.execute("select pg_sleep(60) /* pgjdbc */");
            check(false, "a query that was cancelled ended well");
        } catch (SQLException error) {
            check("57014".equals(error.getSQLState()), error.toString());
        }
        canceller.join();
    }

    private static void isAlice(Connection connection) throws SQLException {
        String user = text(connection, "select current_user");
        check(user.equals("alice"), "signed in as " + user);
    }

    private static String text(Connection connection, String query) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            ResultSet row = statement.executeQuery(query);
            row.next();
            return row.getString(1);
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }
}
