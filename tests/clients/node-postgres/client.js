// node-postgres: pool, named statements, cursors, streams, COPY, cancel.
//
// Reads HOWDAH_TEST_DSN and _SALT and prints one line a check, as tests/clients/client_suite.py says.
'use strict'

const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')
const QueryStream = require('pg-query-stream')
const copy = require('pg-copy-streams')
const { Readable } = require('stream')
const { pipeline } = require('stream/promises')
const net = require('net')

const DSN = process.env.HOWDAH_TEST_DSN
const T = `node_items_${process.env.HOWDAH_TEST_SALT || 't'}`
const LIMIT_MS = 60000
const checks = []

const check = (name, run) => checks.push({ name, run })
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

function equal (got, wanted, what = 'value') {
  const [g, w] = [JSON.stringify(got), JSON.stringify(wanted)]
  if (g !== w) throw new Error(`${what}: got ${g.slice(0, 200)}, wanted ${w.slice(0, 200)}`)
}

async function fails (promise, code) {
  const error = await promise.then(() => null, (e) => e)
  if (!error) throw new Error(`no error, wanted ${code}`)
  if (error.code !== code) throw new Error(`error ${error.code} (${error.message}), wanted ${code}`)
  return error
}

async function withClient (use, options = {}) {
  const client = new Client({ connectionString: DSN, ...options })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

const onClient = (name, use) => check(name, () => withClient(use))
const numbers = (count) => Array.from({ length: count }, (_, i) => i)

onClient('connect and simple query', async (client) => {
  const got = await client.query('SELECT 1 AS one, $$two$$ AS two')
  equal(got.rows, [{ one: 1, two: 'two' }])
  equal(got.fields.map((f) => f.name), ['one', 'two'])
})

onClient('several statements in one string', async (client) => {
  const got = await client.query('SELECT 1 AS a; SELECT 2 AS b; SELECT 3 AS c')
  equal(got.map((r) => r.rows[0]), [{ a: 1 }, { b: 2 }, { c: 3 }])
})

onClient('parameters and types', async (client) => {
  const args = [5, 'ü😀', true, Buffer.from([0, 255]), { a: [1] }, [1, 2]]
  const got = await client.query({
    text: 'SELECT $1::int, $2::text, $3::bool, $4::bytea, $5::jsonb, $6::int[]', values: args, rowMode: 'array'
  })
  equal(got.rows[0].slice(0, 3).concat(got.rows[0].slice(4)), [5, 'ü😀', true, { a: [1] }, [1, 2]])
  equal([...got.rows[0][3]], [0, 255])
})

onClient('create, insert, read back', async (client) => {
  await client.query(`DROP TABLE IF EXISTS ${T}`)
  await client.query(`CREATE TABLE ${T} (id serial PRIMARY KEY, who text, n int)`)
  const got = await client.query(`INSERT INTO ${T} (who, n) SELECT 'a', g FROM generate_series(1, 100) g RETURNING id`)
  equal([got.rowCount, got.command, got.rows.length], [100, 'INSERT', 100])
})

onClient('named prepared statement over many transactions', async (client) => {
  for (const i of numbers(40)) {
    const got = await client.query({ name: 'plus', text: 'SELECT $1::int + 1 AS n', values: [i] })
    equal(got.rows[0].n, i + 1)
  }
  for (const i of numbers(5)) {
    await client.query('BEGIN')
    equal((await client.query({ name: 'plus', text: 'SELECT $1::int + 1 AS n', values: [i] })).rows[0].n, i + 1)
    await client.query(i % 2 ? 'COMMIT' : 'ROLLBACK')
  }
})

check('the same statement name means another text at another client', () => Promise.all(numbers(8).map((n) =>
  withClient(async (client) => {
    for (const i of numbers(20)) {
      const got = await client.query({ name: 'mine', text: `SELECT $1::int + ${n} AS n`, values: [i] })
      equal(got.rows[0].n, i + n, `client ${n}`)
    }
  }))))

onClient('transaction, rollback, commit', async (client) => {
  for (const [end, count] of [['ROLLBACK', 0], ['COMMIT', 1]]) {
    await client.query('BEGIN')
    await client.query(`INSERT INTO ${T} (who) VALUES ('tx')`)
    const pids = new Set()
    for (const _ of numbers(10)) pids.add((await client.query('SELECT pg_backend_pid() AS p')).rows[0].p)
    equal(pids.size, 1, 'backends of one transaction')
    await client.query(end)
    equal((await client.query(`SELECT count(*)::int AS n FROM ${T} WHERE who = 'tx'`)).rows[0].n, count)
  }
})

onClient('errors carry their fields', async (client) => {
  const unique = await fails(client.query(`INSERT INTO ${T} (id) SELECT id FROM ${T} LIMIT 1`), '23505')
  equal([unique.severity, unique.table, unique.constraint], ['ERROR', T, `${T}_pkey`])
  equal((await fails(client.query('SELECT nope'), '42703')).position, '8')
  await fails(client.query('SELECT $1::int', ['x']), '22P02')
  equal((await client.query('SELECT 1 AS n')).rows[0].n, 1)
})

onClient('error inside a transaction, savepoint', async (client) => {
  await client.query('BEGIN')
  await client.query('SAVEPOINT s')
  await fails(client.query('SELECT 1/0'), '22012')
  await fails(client.query('SELECT 1'), '25P02')
  await client.query('ROLLBACK TO s')
  equal((await client.query('SELECT 1 AS n')).rows[0].n, 1)
  await client.query('COMMIT')
})

onClient('queries queued without waiting', async (client) => {
  const got = await Promise.all(numbers(200).map((i) => client.query('SELECT $1::int AS n', [i])))
  equal(got.map((r) => r.rows[0].n), numbers(200))
})

onClient('cursor in a transaction', async (client) => {
  await client.query('BEGIN')
  const cursor = client.query(new Cursor('SELECT g FROM generate_series(1, $1::int) g', [1000]))
  let total = 0
  for (let rows = await cursor.read(90); rows.length; rows = await cursor.read(90)) total += rows.length
  equal(total, 1000)
  await cursor.close()
  const left = client.query(new Cursor('SELECT g FROM generate_series(1, 1000) g'))
  equal((await left.read(3)).length, 3)
  await left.close()
  await client.query('COMMIT')
})

onClient('query stream', async (client) => {
  await client.query('BEGIN')
  let total = 0
  const stream = client.query(new QueryStream('SELECT g FROM generate_series(1, 20000) g', [], { batchSize: 500 }))
  for await (const row of stream) total += row.g
  equal(total, 200010000)
  await client.query('COMMIT')
})

onClient('COPY in and out', async (client) => {
  await client.query(`TRUNCATE ${T}`)
  const lines = numbers(20000).map((i) => `copied\t${i}\n`)
  const into = client.query(copy.from(`COPY ${T} (who, n) FROM STDIN`))
  await pipeline(Readable.from(lines), into)
  equal(into.rowCount, 20000)
  let text = ''
  for await (const chunk of client.query(copy.to(`COPY (SELECT who, n FROM ${T} ORDER BY n) TO STDOUT`))) text += chunk
  equal(text === lines.join(''), true, 'what came out is what went in')
})

onClient('COPY with a bad line fails cleanly', async (client) => {
  const into = client.query(copy.from(`COPY ${T} (who, n) FROM STDIN`))
  await fails(pipeline(Readable.from(['x\t1\n', 'y\tbad\n']), into), '22P02')
  equal((await client.query('SELECT 1 AS n')).rows[0].n, 1)
})

onClient('notices arrive', async (client) => {
  const heard = []
  client.on('notice', (notice) => heard.push(notice.message))
  await client.query("DO $$ BEGIN RAISE NOTICE 'hear me'; END $$")
  equal(heard, ['hear me'])
})

onClient('large values', async (client) => {
  const long = 'ä'.repeat(4000000)
  equal((await client.query('SELECT $1::text AS v', [long])).rows[0].v === long, true, '8 MB there and back')
})

function cancel (client) {
  // node-postgres keeps the key of BackendKeyData but sends a cancel only from another Client's socket.
  return new Promise((resolve, reject) => {
    const url = new URL(DSN)
    const socket = net.connect(Number(url.port), url.hostname)
    const key = Buffer.isBuffer(client.secretKey) ? client.secretKey : Buffer.alloc(4)
    if (!Buffer.isBuffer(client.secretKey)) key.writeInt32BE(client.secretKey)
    const head = Buffer.alloc(12)
    head.writeInt32BE(12 + key.length, 0)
    head.writeInt32BE(80877102, 4)
    head.writeInt32BE(client.processID, 8)
    socket.on('error', reject).on('close', resolve).on('data', () => {})
    socket.on('connect', () => socket.end(Buffer.concat([head, key])))
  })
}

onClient('cancel', async (client) => {
  const begun = Date.now()
  const query = fails(client.query('SELECT pg_sleep(30)'), '57014')
  await sleep(500)
  await cancel(client)
  await query
  equal(Date.now() - begun < 10000, true, 'the cancel took effect in time')
  equal((await client.query('SELECT 1 AS n')).rows[0].n, 1)
})

onClient('SET lasts for the session', async (client) => {
  await client.query("SET work_mem = '7MB'")
  equal((await client.query('SHOW work_mem')).rows[0].work_mem, '7MB')
})

onClient('LISTEN and NOTIFY', async (client) => {
  const heard = new Promise((resolve) => client.on('notification', resolve))
  await client.query(`LISTEN ${T}`)
  await client.query(`NOTIFY ${T}, 'hello'`)
  equal((await heard).payload, 'hello')
})

check('witness: 24 workers over a pool of 10', async () => {
  const pool = new Pool({ connectionString: DSN, max: 10 })
  await Promise.all(numbers(24).map(async (number) => {
    const me = `worker ${number}`
    for (const turn of numbers(20)) {
      const client = await pool.connect()
      try {
        const got = await client.query({
          name: `w${turn % 3}`, text: `SELECT $1::text AS who, g + ${turn % 3} AS g FROM generate_series(1, 40) g`, values: [me]
        })
        equal(got.rows, numbers(40).map((i) => ({ who: me, g: i + 1 + turn % 3 })), me)
        const error = await fails(client.query('SELECT $1::text::int', [me]), '22P02')
        equal(error.message.includes(`"${me}"`), true, `${me} got the error ${error.message}`)
        await client.query('BEGIN')
        await client.query(`INSERT INTO ${T} (who, n) VALUES ($1, $2)`, [me, turn])
        const mine = await client.query(`SELECT count(*)::int AS n FROM ${T} WHERE who = $1`, [me])
        equal(mine.rows[0].n, turn + 1, me)
        await client.query('COMMIT')
      } finally {
        client.release()
      }
    }
  }))
  await pool.query(`DROP TABLE ${T}`)
  await pool.end()
})

async function outcome ({ name, run }) {
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${LIMIT_MS / 1000} s`)), LIMIT_MS)
  })
  try {
    await Promise.race([run(), late])
    return `ok node-postgres/${name}`
  } catch (error) {
    return `not ok node-postgres/${name}: ${String(error.message || error).replace(/\s*\n\s*/g, ' | ')}`
  } finally {
    clearTimeout(timer)
  }
}

async function main () {
  let failed = false
  for (const one of checks) {
    const line = await outcome(one)
    failed = failed || line.startsWith('not ok')
    console.log(line)
  }
  process.exit(failed ? 1 : 0)
}

main()
