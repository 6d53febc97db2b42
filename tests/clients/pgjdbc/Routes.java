// pgjdbc, for run-replicas.py: runs what it is told, a statement a line, and answers each with a line.
//
//     a statement, \n and \\ written so    "ok", or "ok VALUE" with the first of the first row, or "error SQLSTATE"
//
// BEGIN, COMMIT and ROLLBACK are the driver's own, so BEGIN travels with the first statement, under one Sync. Every
// other statement is prepared by a name, as the BEGIN ahead of it is then.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.sql.*;
import java.util.*;
import org.postgresql.PGStatement;

public class Routes {
    static String first(Connection conn, String sql, boolean named) throws SQLException {
        try (PreparedStatement statement = conn.prepareStatement(sql)) {
            statement.unwrap(PGStatement.class).setPrepareThreshold(named ? 1 : 0);
            if (!statement.execute()) {
                return "ok";
            }
            ResultSet rows = statement.getResultSet();
            return rows.next() && rows.getMetaData().getColumnCount() > 0 ? "ok " + rows.getString(1) : "ok";
        }
    }

    static void end(Connection conn, boolean commit) throws SQLException {
        try {
            if (commit) {
                conn.commit();
            } else {
                conn.rollback();
            }
        } finally {
            conn.setAutoCommit(true);
            conn.setReadOnly(false);
        }
    }

    static String run(Connection conn, String sql, int number) throws SQLException {
        String bare = sql.replaceFirst("^\\s*/\\*.*?\\*/\\s*", "");
        if (conn.getAutoCommit() && (bare.equals("BEGIN") || bare.equals("BEGIN READ ONLY"))) {
            conn.setReadOnly(bare.endsWith("READ ONLY"));
            conn.setAutoCommit(false);
            return "ok";
        }
        if (!conn.getAutoCommit() && (bare.equals("COMMIT") || bare.equals("ROLLBACK"))) {
            end(conn, bare.equals("COMMIT"));
            return "ok";
        }
        return first(conn, sql, number % 2 == 1);
    }

    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("user", args[1]);
        properties.setProperty("raiseExceptionOnSilentRollback", "false");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (Connection conn = DriverManager.getConnection(args[0], properties)) {
            String line;
            for (int number = 0; (line = in.readLine()) != null; number++) {
                String answer;
                try {
                    answer = run(conn, line.replace("\\n", "\n").replace("\\\\", "\\"), number);
                } catch (SQLException error) {
                    answer = "error " + error.getSQLState();
                }
                System.out.println(answer.replace('\n', ' '));
            }
        }
    }
}
