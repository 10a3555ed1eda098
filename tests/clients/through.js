// node-postgres through `shiftkey proxy`: on TCP with the string of `shiftkey url`, and on the unix socket.
const assert = require('assert');
const {Readable} = require('stream');
const {pipeline} = require('stream/promises');
const {Client, Query} = require('pg');
const Cursor = require('pg-cursor');
const copy = require('pg-copy-streams');

const one = async (client, query, values) => Object.values((await client.query(query, values)).rows[0])[0];
const connected = async (where) => {
  const client = new Client(where);
  await client.connect();
  return client;
};

async function cancels(client, other, where) {
  const sleeping = new Query('select pg_sleep(60) /* node */');
  const told = new Promise((resolve) => sleeping.on('error', resolve));
  client.query(sleeping);
  const running = "select count(*)::int from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like '%/* node */%'";
  for (let i = 0; i < 20000 && await one(other, running) === 0; i++);
  new Client(where).cancel(client, sleeping);
  assert.strictEqual((await told).code, '57014');
}

async function copies(client) {
  await client.query('create temp table copied (number int, text text)');
  let lines = '';
  for (let number = 0; number < 10000; number++) lines += `${number}\t${'x'.repeat(500)}\n`;
  await pipeline(Readable.from([lines]), client.query(copy.from('copy copied from stdin')));
  const received = [];
  for await (const chunk of client.query(copy.to('copy copied to stdout'))) received.push(chunk);
  assert.strictEqual(Buffer.concat(received).toString(), lines);
}

async function through(where) {
  const client = await connected(where);
  const other = await connected(where);
  assert(!client.password, 'a password was given');
  assert.strictEqual(await one(client, 'select current_user'), 'alice');
  assert.strictEqual(await one(client, {name: 'prepared', text: 'select $1::int + 1', values: [41]}), 42);
  assert.strictEqual((await one(client, "select repeat('y', 20000000)")).length, 20000000);
  assert.strictEqual((await client.query('select 1 as a; select 2 as a'))[1].rows[0].a, 2);
  const cursor = client.query(new Cursor('select generate_series(1, 20000) as number'));
  let count = 0;
  for (let rows = await cursor.read(500); rows.length; rows = await cursor.read(500)) count += rows.length;
  assert.strictEqual(count, 20000);
  const heard = new Promise((resolve) => client.on('notification', resolve));
  await client.query('listen news');
  await other.query("notify news, 'arrived'");
  assert.strictEqual((await heard).payload, 'arrived');
  await copies(client);
  await cancels(client, other, where);
  assert.strictEqual(await one(client, 'select current_user'), 'alice');
  await client.end();
  await other.end();
}

(async () => {
  await through(process.argv[2]);
  await through(process.argv[3]);
  console.log('ok   node-postgres: sockets, prepared, cursors, LISTEN, COPY both ways, cancel');
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
