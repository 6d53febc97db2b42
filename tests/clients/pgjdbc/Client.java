// pgjdbc: simple and extended protocol, server-prepared statements, batches, fetch-size cursors,
// CopyManager, savepoints, autosave, cancel, generated keys.
//
// Reads HOWDAH_TEST_DSN and _SALT and prints one line a check, as tests/clients/client_suite.py says.

import java.io.StringReader;
import java.io.StringWriter;
import java.net.URI;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.PGStatement;
import org.postgresql.copy.CopyManager;
import org.postgresql.util.PSQLException;

public class Client {
    static final long LIMIT_S = 60;
    static final URI DSN = URI.create(System.getenv("HOWDAH_TEST_DSN"));
    static final String T = "pgjdbc_items_" + env("HOWDAH_TEST_SALT", "t");

    interface Body { void run(Connection conn) throws Exception; }

    record Check(String name, Map<String, String> options, Body body) {}

    static final List<Check> checks = new ArrayList<>();

    static String env(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }

    static Connection connect(Map<String, String> options) throws SQLException {
        String[] login = DSN.getUserInfo().split(":", 2);
        Properties properties = new Properties();
        properties.putAll(options);
        properties.setProperty("user", login[0]);
        if (login.length > 1) {
            properties.setProperty("password", login[1]);
        }
        return DriverManager.getConnection(
            "jdbc:postgresql://" + DSN.getHost() + ":" + DSN.getPort() + DSN.getPath(), properties);
    }

    static void check(String name, Body body) { checks.add(new Check(name, Map.of(), body)); }

    static void check(String name, Map<String, String> options, Body body) {
        checks.add(new Check(name, options, body));
    }

    static void equal(Object got, Object wanted, String what) {
        if (!Objects.equals(got, wanted)) {
            throw new AssertionError(what + ": got " + got + ", wanted " + wanted);
        }
    }

    static PSQLException fails(String state, Callable<?> call) throws Exception {
        try {
            call.call();
        } catch (PSQLException error) {
            equal(error.getSQLState(), state, "SQLSTATE of \"" + error.getMessage() + "\"");
            return error;
        }
        throw new AssertionError("no error, wanted " + state);
    }

    static int run(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            return statement.execute(sql) ? -1 : statement.getUpdateCount();
        }
    }

    static String scalar(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getString(1);
        }
    }

    static int next(PreparedStatement statement, int i) throws SQLException {
        statement.setInt(1, i);
        try (ResultSet rows = statement.executeQuery()) {
            rows.next();
            return rows.getInt(1);
        }
    }

    static void basics() {
        check("connect and metadata", conn -> {
            equal(conn.getMetaData().getDatabaseProductName(), "PostgreSQL", "product");
            equal(conn.isValid(5), true, "isValid");
            equal(scalar(conn, "SHOW client_encoding"), "UTF8", "client_encoding");
        });
        check("create, insert, generated keys", conn -> {
            run(conn, "DROP TABLE IF EXISTS " + T);
            run(conn, "CREATE TABLE " + T + " (id serial PRIMARY KEY, who text, n int)");
            try (PreparedStatement insert = conn.prepareStatement(
                    "INSERT INTO " + T + " (who, n) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                insert.setString(1, "key");
                insert.setInt(2, 1);
                equal(insert.executeUpdate(), 1, "update count");
                ResultSet keys = insert.getGeneratedKeys();
                equal(keys.next() && keys.getInt("id") == 1, true, "generated key");
            }
        });
        check("reflection through DatabaseMetaData", conn -> {
            ResultSet columns = conn.getMetaData().getColumns(null, null, T, null);
            List<String> names = new ArrayList<>();
            while (columns.next()) {
                names.add(columns.getString("COLUMN_NAME"));
            }
            equal(names, List.of("id", "who", "n"), "columns");
        });
        check("several statements in one string", conn -> {
            try (Statement statement = conn.createStatement()) {
                statement.execute("SELECT 1; SELECT 2; SELECT 3");
                int sum = 0;
                do {
                    ResultSet rows = statement.getResultSet();
                    rows.next();
                    sum += rows.getInt(1);
                } while (statement.getMoreResults());
                equal(sum, 6, "sum");
            }
        });
        for (String queryMode : List.of("simple", "extended", "extendedForPrepared", "extendedCacheEverything")) {
            check("query mode " + queryMode, Map.of("preferQueryMode", queryMode), conn -> {
                try (PreparedStatement plus = conn.prepareStatement("SELECT ?::int + 1")) {
                    for (int i = 0; i < 20; i++) {
                        equal(next(plus, i), i + 1, "plus");
                    }
                }
                fails("22012", () -> scalar(conn, "SELECT 1/0"));
                equal(scalar(conn, "SELECT 'alive'"), "alive", "after the error");
            });
        }
        check("large values", conn -> {
            String text = "ä".repeat(4_000_000);
            try (PreparedStatement echo = conn.prepareStatement("SELECT ?::text")) {
                echo.setString(1, text);
                ResultSet rows = echo.executeQuery();
                rows.next();
                equal(rows.getString(1).equals(text), true, "8 MB there and back");
            }
        });
        check("notices arrive as warnings", conn -> {
            try (Statement statement = conn.createStatement()) {
                statement.execute("DO $$ BEGIN RAISE NOTICE 'hear me'; END $$");
                equal(statement.getWarnings().getMessage(), "hear me", "warning");
            }
        });
    }

    static void prepared() {
        check("server-prepared after threshold 5, over many transactions", conn -> {
            try (PreparedStatement plus = conn.prepareStatement("SELECT ?::int + 1")) {
                for (int i = 0; i < 40; i++) {
                    equal(next(plus, i), i + 1, "plus");
                }
                equal(plus.unwrap(PGStatement.class).isUseServerPrepare(), true, "server-prepared");
                conn.setAutoCommit(false);
                for (int i = 0; i < 10; i++) {
                    equal(next(plus, i), i + 1, "plus in a transaction");
                    if (i % 2 == 0) {
                        conn.commit();
                    } else {
                        conn.rollback();
                    }
                }
            }
        });
        check("binary transfer from the first run", Map.of("prepareThreshold", "-1"), conn -> {
            try (PreparedStatement echo = conn.prepareStatement("SELECT ?::int8, ?::timestamptz, ?::numeric")) {
                for (int i = 0; i < 10; i++) {
                    echo.setLong(1, 1L << 40);
                    echo.setTimestamp(2, new Timestamp(1_700_000_000_000L));
                    echo.setBigDecimal(3, new java.math.BigDecimal("12.50"));
                    ResultSet rows = echo.executeQuery();
                    rows.next();
                    equal(rows.getLong(1), 1L << 40, "int8");
                    equal(rows.getTimestamp(2).getTime(), 1_700_000_000_000L, "timestamptz");
                    equal(rows.getBigDecimal(3).toPlainString(), "12.50", "numeric");
                }
            }
        });
        check("cache of prepared statements with evictions",
            Map.of("prepareThreshold", "1", "preparedStatementCacheQueries", "4"), conn -> {
                for (int turn = 0; turn < 3; turn++) {
                    for (int i = 0; i < 12; i++) {
                        try (PreparedStatement plus = conn.prepareStatement("SELECT ?::int + " + i)) {
                            equal(next(plus, turn), turn + i, "plus");
                        }
                    }
                }
            });
        check("schema change under a prepared statement", Map.of("prepareThreshold", "1"), conn -> {
            run(conn, "DROP TABLE IF EXISTS " + T + "_wide");
            run(conn, "CREATE TABLE " + T + "_wide (a int)");
            for (int width = 1; width < 4; width++) {
                try (PreparedStatement all = conn.prepareStatement("SELECT * FROM " + T + "_wide")) {
                    equal(all.executeQuery().getMetaData().getColumnCount(), width, "columns");
                }
                run(conn, "ALTER TABLE " + T + "_wide ADD COLUMN c" + width + " int");
            }
            run(conn, "DROP TABLE " + T + "_wide");
        });
        check("batches", conn -> {
            try (PreparedStatement insert = conn.prepareStatement("INSERT INTO " + T + " (who, n) VALUES (?, ?)")) {
                for (int i = 0; i < 1000; i++) {
                    insert.setString(1, "batch");
                    insert.setInt(2, i);
                    insert.addBatch();
                }
                equal(Arrays.stream(insert.executeBatch()).sum(), 1000, "update counts");
            }
            equal(scalar(conn, "SELECT sum(n) FROM " + T + " WHERE who = 'batch'"), "499500", "sum");
        });
        check("batches rewritten as multi-row inserts", Map.of("reWriteBatchedInserts", "true"), conn -> {
            try (PreparedStatement insert = conn.prepareStatement("INSERT INTO " + T + " (who, n) VALUES ('rw', ?)")) {
                for (int i = 0; i < 700; i++) {
                    insert.setInt(1, i);
                    insert.addBatch();
                }
                insert.executeBatch();
            }
            equal(scalar(conn, "SELECT count(*) FROM " + T + " WHERE who = 'rw'"), "700", "rows");
        });
        check("batch with an error in the middle", conn -> {
            try (PreparedStatement insert = conn.prepareStatement("INSERT INTO " + T + " (id, who) VALUES (?, 'bad')")) {
                conn.setAutoCommit(false);
                for (int id : new int[] {800001, 800002, 800001, 800003}) {
                    insert.setInt(1, id);
                    insert.addBatch();
                }
                try {
                    insert.executeBatch();
                    throw new AssertionError("no BatchUpdateException");
                } catch (BatchUpdateException error) {
                    equal(error.getSQLState(), "23505", "SQLSTATE");
                }
                conn.rollback();
            }
            equal(scalar(conn, "SELECT count(*) FROM " + T + " WHERE who = 'bad'"), "0", "rows");
        });
    }

    static void transactions() {
        check("cursor by fetch size, in a transaction", conn -> {
            conn.setAutoCommit(false);
            try (Statement statement = conn.createStatement()) {
                statement.setFetchSize(77);
                ResultSet rows = statement.executeQuery("SELECT g FROM generate_series(1, 5000) g");
                long sum = 0;
                while (rows.next()) {
                    sum += rows.getInt(1);
                    if (rows.getRow() == 1000) {
                        equal(scalar(conn, "SELECT 'between fetches'"), "between fetches", "beside the portal");
                    }
                }
                equal(sum, 12502500L, "sum");
            }
            conn.commit();
        });
        check("a cursor closed half way", conn -> {
            conn.setAutoCommit(false);
            for (int i = 0; i < 5; i++) {
                try (Statement statement = conn.createStatement()) {
                    statement.setFetchSize(10);
                    statement.executeQuery("SELECT g FROM generate_series(1, 5000) g").next();
                }
                conn.commit();
            }
        });
        check("savepoints", conn -> {
            conn.setAutoCommit(false);
            Savepoint savepoint = conn.setSavepoint();
            fails("42P01", () -> scalar(conn, "SELECT * FROM no_such_table_at_all"));
            fails("25P02", () -> scalar(conn, "SELECT 1"));
            conn.rollback(savepoint);
            equal(scalar(conn, "SELECT 'alive'"), "alive", "after rollback to the savepoint");
            conn.commit();
        });
        check("autosave=always", Map.of("autosave", "always"), conn -> {
            conn.setAutoCommit(false);
            run(conn, "INSERT INTO " + T + " (who) VALUES ('autosave')");
            fails("22012", () -> scalar(conn, "SELECT 1/0"));
            equal(scalar(conn, "SELECT count(*) FROM " + T + " WHERE who = 'autosave'"), "1", "rows");
            conn.commit();
        });
        check("isolation levels and read only", conn -> {
            conn.setAutoCommit(false);
            for (String level : List.of("serializable", "repeatable read", "read committed")) {
                run(conn, "SET TRANSACTION ISOLATION LEVEL " + level);
                equal(scalar(conn, "SHOW transaction_isolation"), level, "isolation");
                conn.commit();
            }
            run(conn, "SET TRANSACTION READ ONLY");
            fails("25006", () -> run(conn, "DELETE FROM " + T));
            conn.rollback();
        });
        check("readOnly by the driver", conn -> {
            conn.setAutoCommit(false);
            conn.setReadOnly(true);
            fails("25006", () -> run(conn, "DELETE FROM " + T));
            conn.rollback();
        });
        check("a transaction stays on one server", conn -> {
            conn.setAutoCommit(false);
            Set<String> pids = new HashSet<>();
            for (int i = 0; i < 20; i++) {
                pids.add(scalar(conn, "SELECT pg_backend_pid()"));
            }
            equal(pids.size(), 1, "backends of one transaction");
            conn.commit();
        });
        check("COPY in and out", conn -> {
            CopyManager copy = conn.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder data = new StringBuilder();
            for (int i = 0; i < 20000; i++) {
                data.append("copied\t").append(i).append('\n');
            }
            equal(copy.copyIn("COPY " + T + " (who, n) FROM STDIN", new StringReader(data.toString())), 20000L, "in");
            StringWriter out = new StringWriter();
            copy.copyOut("COPY (SELECT who, n FROM " + T + " WHERE who = 'copied' ORDER BY n) TO STDOUT", out);
            equal(out.toString().equals(data.toString()), true, "what came out is what went in");
            fails("22P02", () -> copy.copyIn("COPY " + T + " (n) FROM STDIN", new StringReader("1\nbad\n")));
            equal(scalar(conn, "SELECT 'alive'"), "alive", "after the failed COPY");
        });
        check("COPY in cancelled by the client", conn -> {
            CopyManager copy = conn.unwrap(PGConnection.class).getCopyAPI();
            var in = copy.copyIn("COPY " + T + " (who, n) FROM STDIN");
            byte[] line = "given up\t1\n".getBytes();
            in.writeToCopy(line, 0, line.length);
            in.cancelCopy();
            equal(scalar(conn, "SELECT count(*) FROM " + T + " WHERE who = 'given up'"), "0", "rows");
        });
        check("cancel, and a query timeout", conn -> {
            long begun = System.nanoTime();
            try (Statement statement = conn.createStatement()) {
                Timer timer = new Timer(true);
                timer.schedule(new TimerTask() {
                    @Override public void run() {
                        try {
                            statement.cancel();
                        } catch (SQLException ignored) {
                            // the statement then runs into the check's limit and fails there
                        }
                    }
                }, 500);
                fails("57014", () -> statement.executeQuery("SELECT pg_sleep(30)"));
                statement.setQueryTimeout(1);
                fails("57014", () -> statement.executeQuery("SELECT pg_sleep(30)"));
            }
            equal(System.nanoTime() - begun < 15_000_000_000L, true, "the cancels took effect in time");
            equal(scalar(conn, "SELECT 'alive'"), "alive", "after the cancels");
        });
        check("errors carry their fields", conn -> {
            var error = fails("23505", () -> run(conn, "INSERT INTO " + T + " (id) SELECT id FROM " + T + " LIMIT 1"));
            equal(error.getServerErrorMessage().getConstraint(), T + "_pkey", "constraint");
        });
    }

    static void sessionState() {
        check("SET lasts for the session", conn -> {
            run(conn, "SET work_mem = '7MB'");
            equal(scalar(conn, "SHOW work_mem"), "7MB", "work_mem");
        });
        check("session isolation by the driver", conn -> {
            conn.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            equal(scalar(conn, "SHOW transaction_isolation"), "serializable", "isolation");
        });
        check("LISTEN and NOTIFY", conn -> {
            run(conn, "LISTEN " + T);
            run(conn, "NOTIFY " + T + ", 'hello'");
            PGNotification[] heard = conn.unwrap(PGConnection.class).getNotifications(10000);
            equal(heard != null && heard[0].getParameter().equals("hello"), true, "a notification");
        });
        check("holdable cursor and temporary table", conn -> {
            run(conn, "CREATE TEMP TABLE tmp AS SELECT 5 AS v");
            run(conn, "DECLARE held CURSOR WITH HOLD FOR SELECT v FROM tmp");
            equal(scalar(conn, "FETCH held"), "5", "fetched");
        });
    }

    static void witnessTurn(Connection conn, PreparedStatement mine, String me, int turn) throws Exception {
        mine.setString(1, me);
        ResultSet rows = mine.executeQuery();
        for (int i = 1; i <= 40; i++) {
            equal(rows.next() && rows.getString(1).equals(me) && rows.getInt(2) == i, true, me + " row " + i);
        }
        equal(rows.next(), false, me + " has more rows");
        conn.setAutoCommit(false);
        run(conn, "INSERT INTO " + T + " (who, n) VALUES ('" + me + "', " + turn + ")");
        equal(scalar(conn, "SELECT count(*) FROM " + T + " WHERE who = '" + me + "'"), "" + (turn + 1), me);
        conn.commit();
        conn.setAutoCommit(true);
        var error = fails("22P02", () -> scalar(conn, "SELECT '" + me + "'::text::int"));
        equal(error.getMessage().contains('"' + me + '"'), true, me + " got the error " + error.getMessage());
    }

    static void witness() {
        check("witness: 16 workers see only their own rows", unused -> {
            ExecutorService threads = Executors.newFixedThreadPool(16);
            List<Future<?>> turns = new ArrayList<>();
            for (int number = 0; number < 16; number++) {
                String me = "worker " + number;
                turns.add(threads.submit(() -> {
                    try (Connection conn = connect(Map.of("prepareThreshold", "3")); PreparedStatement mine =
                            conn.prepareStatement("SELECT ?::text, g FROM generate_series(1, 40) g")) {
                        for (int turn = 0; turn < 20; turn++) {
                            witnessTurn(conn, mine, me, turn);
                        }
                    }
                    return null;
                }));
            }
            for (Future<?> turn : turns) {
                turn.get();
            }
            threads.shutdown();
            run(unused, "DROP TABLE " + T);
        });
    }

    static String outcome(Check check) {
        ExecutorService one = Executors.newSingleThreadExecutor(task -> {
            Thread thread = new Thread(task);
            thread.setDaemon(true);
            return thread;
        });
        try {
            one.submit(() -> {
                try (Connection conn = connect(check.options)) {
                    check.body.run(conn);
                }
                return null;
            }).get(LIMIT_S, TimeUnit.SECONDS);
            return "ok pgjdbc/" + check.name;
        } catch (TimeoutException late) {
            return "not ok pgjdbc/" + check.name + ": no answer within " + LIMIT_S + " s";
        } catch (Exception error) {
            Throwable cause = error.getCause() == null ? error : error.getCause();
            return "not ok pgjdbc/" + check.name + ": " + String.valueOf(cause).replaceAll("\\s*\\n\\s*", " | ");
        } finally {
            one.shutdown();
        }
    }

    public static void main(String[] args) {
        basics();
        prepared();
        transactions();
        sessionState();
        witness();
        boolean failed = false;
        for (Check check : checks) {
            String line = outcome(check);
            failed |= line.startsWith("not ok");
            System.out.println(line);
        }
        System.exit(failed ? 1 : 0);
    }
}
