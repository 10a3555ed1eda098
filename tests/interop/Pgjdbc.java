import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.util.Base64;
import java.util.Properties;

/** For each URL on standard input: what pgJDBC parses out of it, and who the server says has signed in. */
class Pgjdbc {
    public static void main(String[] args) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String url = input.readLine(); url != null; url = input.readLine()) {
            Properties parsed = org.postgresql.Driver.parseURL(url, new Properties());
            try (Connection connection = DriverManager.getConnection(url);
                    ResultSet row = connection.createStatement().executeQuery("select current_user, current_database()")) {
                row.next();
                print(parsed.getProperty("user"), parsed.getProperty("password"), row.getString(1), row.getString(2));
            } catch (java.sql.SQLException error) {
                print(parsed.getProperty("user"), parsed.getProperty("password"), error.toString(), String.valueOf(error.getCause()));
            }
        }
    }

    private static void print(String... values) {
        String[] encoded = new String[values.length];
        for (int i = 0; i < values.length; i++) {
            encoded[i] = Base64.getEncoder().encodeToString((values[i] == null ? "" : values[i]).getBytes(StandardCharsets.UTF_8));
        }
        System.out.println(String.join("\t", encoded));
    }
}
