// pgx v5: every query exec mode, batches, COPY, the pool, cancel by context.
//
// Reads HOWDAH_TEST_DSN and _SALT and prints one line a check, as tests/clients/client_suite.py says.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const limit = 60 * time.Second

var (
	dsn   = os.Getenv("HOWDAH_TEST_DSN")
	table = "pgx_items_" + salt()
	modes = map[string]pgx.QueryExecMode{
		"cache_statement": pgx.QueryExecModeCacheStatement,
		"cache_describe":  pgx.QueryExecModeCacheDescribe,
		"describe_exec":   pgx.QueryExecModeDescribeExec,
		"exec":            pgx.QueryExecModeExec,
		"simple_protocol": pgx.QueryExecModeSimpleProtocol,
	}
)

type check struct {
	name string
	run  func(ctx context.Context, conn *pgx.Conn) error
}

func salt() string {
	if s := os.Getenv("HOWDAH_TEST_SALT"); s != "" {
		return s
	}
	return "t"
}

func equal(what string, got, wanted any) error {
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		return fmt.Errorf("%s: got %v, wanted %v", what, got, wanted)
	}
	return nil
}

// fails wants an error with this SQLSTATE and returns it.
func fails(err error, code string) (*pgconn.PgError, error) {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != code {
		return nil, fmt.Errorf("error %v, wanted SQLSTATE %s", err, code)
	}
	return pgErr, nil
}

func scalar[T any](ctx context.Context, q interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, sql string, args ...any) (T, error) {
	var v T
	err := q.QueryRow(ctx, sql, args...).Scan(&v)
	return v, err
}

// wantScalar runs sql and compares the one value that it answers.
func wantScalar[T any](ctx context.Context, conn *pgx.Conn, wanted T, sql string, args ...any) error {
	got, err := scalar[T](ctx, conn, sql, args...)
	if err != nil {
		return err
	}
	return equal(sql, got, wanted)
}

func connectAndVersion(ctx context.Context, conn *pgx.Conn) error {
	if conn.PgConn().ParameterStatus("server_version") == "" || conn.PgConn().PID() == 0 {
		return errors.New("no server_version or backend pid")
	}
	return wantScalar(ctx, conn, "ü", "SELECT $1::text", "ü")
}

func makeTable(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "DROP TABLE IF EXISTS "+table); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "CREATE TABLE "+table+" (id serial PRIMARY KEY, who text, n int)")
	return err
}

// inMode makes the check of one query exec mode: loops outside and inside of transactions.
func inMode(execMode pgx.QueryExecMode) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, _ *pgx.Conn) error {
		config, err := pgx.ParseConfig(dsn)
		if err != nil {
			return err
		}
		config.DefaultQueryExecMode = execMode
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		for i := 0; i < 30; i++ {
			if err := wantScalar(ctx, conn, i+7, "SELECT $1::int4 + 7", i); err != nil {
				return err
			}
		}
		for i := 0; i < 5; i++ {
			tx, err := conn.Begin(ctx)
			if err != nil {
				return err
			}
			got, err := scalar[string](ctx, tx, "SELECT $1::text || 'x'", fmt.Sprint(i))
			if err != nil || got != fmt.Sprint(i)+"x" {
				return fmt.Errorf("in a transaction: %q, %v", got, err)
			}
			if err := tx.Rollback(ctx); err != nil {
				return err
			}
		}
		if _, err := fails(conn.QueryRow(ctx, "SELECT 1 / $1::int4", 0).Scan(new(int)), "22012"); err != nil {
			return err
		}
		return wantScalar(ctx, conn, "alive", "SELECT $1::text", "alive")
	}
}

func cacheEviction(ctx context.Context, _ *pgx.Conn) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	config.StatementCacheCapacity = 4
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for turn := 0; turn < 3; turn++ {
		for i := 0; i < 12; i++ {
			if err := wantScalar(ctx, conn, turn+i, fmt.Sprintf("SELECT $1::int4 + %d", i), turn); err != nil {
				return err
			}
		}
	}
	return nil
}

func namedPrepare(ctx context.Context, conn *pgx.Conn) error {
	desc, err := conn.Prepare(ctx, "mine", "SELECT $1::int8 * 3 AS triple")
	if err != nil {
		return err
	}
	if err := equal("columns", desc.Fields[0].Name, "triple"); err != nil {
		return err
	}
	for i := int64(0); i < 20; i++ {
		if err := wantScalar(ctx, conn, i*3, "mine", i); err != nil {
			return err
		}
	}
	if err := conn.Deallocate(ctx, "mine"); err != nil {
		return err
	}
	_, err = conn.Prepare(ctx, "mine", "SELECT 'another text'")
	return err
}

func deallocateAll(ctx context.Context, conn *pgx.Conn) error {
	for i := 0; i < 3; i++ {
		if err := wantScalar(ctx, conn, i, "SELECT $1::int4", i); err != nil {
			return err
		}
		if err := conn.DeallocateAll(ctx); err != nil {
			return err
		}
	}
	return nil
}

func batch(ctx context.Context, conn *pgx.Conn) error {
	b := &pgx.Batch{}
	for i := 0; i < 100; i++ {
		b.Queue("INSERT INTO "+table+" (who, n) VALUES ('batch', $1)", i)
		b.Queue("SELECT count(*) FROM "+table+" WHERE who = $1", "batch")
	}
	results := conn.SendBatch(ctx, b)
	for i := 0; i < 100; i++ {
		var n int
		if _, err := results.Exec(); err != nil {
			return err
		}
		if err := results.QueryRow().Scan(&n); err != nil || n != i+1 {
			return fmt.Errorf("batch step %d: %d, %v", i, n, err)
		}
	}
	return results.Close()
}

func batchWithError(ctx context.Context, conn *pgx.Conn) error {
	b := &pgx.Batch{}
	b.Queue("INSERT INTO " + table + " (who) VALUES ('undone')")
	b.Queue("SELECT 1 / (SELECT 0)")
	b.Queue("INSERT INTO " + table + " (who) VALUES ('undone')")
	if _, err := fails(conn.SendBatch(ctx, b).Close(), "22012"); err != nil {
		return err
	}
	return wantScalar(ctx, conn, 0, "SELECT count(*)::int4 FROM "+table+" WHERE who = 'undone'")
}

func copyFrom(ctx context.Context, conn *pgx.Conn) error {
	n, err := conn.CopyFrom(ctx, pgx.Identifier{table}, []string{"who", "n"},
		pgx.CopyFromSlice(20000, func(i int) ([]any, error) { return []any{"copied", i}, nil }))
	if err != nil || n != 20000 {
		return fmt.Errorf("copied %d, %v", n, err)
	}
	_, err = conn.CopyFrom(ctx, pgx.Identifier{table}, []string{"who", "n"},
		pgx.CopyFromSlice(10, func(i int) ([]any, error) {
			if i == 5 {
				return nil, errors.New("the source gives up")
			}
			return []any{"given up", i}, nil
		}))
	if err == nil {
		return errors.New("a COPY whose source fails must fail")
	}
	return wantScalar(ctx, conn, 20000, "SELECT count(*)::int4 FROM "+table+" WHERE who IN ('copied', 'given up')")
}

func copyTo(ctx context.Context, conn *pgx.Conn) error {
	var out strings.Builder
	tag, err := conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT generate_series(1, 50000)) TO STDOUT")
	if err != nil {
		return err
	}
	return equal("lines", fmt.Sprint(tag.RowsAffected(), strings.Count(out.String(), "\n")), "50000 50000")
}

func transactions(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if err := wantScalar(ctx, conn, "repeatable read", "SHOW transaction_isolation"); err != nil {
			return err
		}
		err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
			_, err := inner.Exec(ctx, "SELECT * FROM no_such_table_at_all")
			return err
		})
		if _, err := fails(err, "42P01"); err != nil {
			return err
		}
		pids := map[int32]bool{}
		for i := 0; i < 10; i++ {
			pid, err := scalar[int32](ctx, tx, "SELECT pg_backend_pid()")
			if err != nil {
				return err
			}
			pids[pid] = true
		}
		return equal("backends of one transaction", len(pids), 1)
	})
}

func errorFields(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "INSERT INTO "+table+" (id) SELECT id FROM "+table+" LIMIT 1")
	pgErr, err := fails(err, "23505")
	if err != nil {
		return err
	}
	return equal("fields", pgErr.TableName+" "+pgErr.ConstraintName, table+" "+table+"_pkey")
}

func schemaChange(ctx context.Context, conn *pgx.Conn) error {
	wide := table + "_wide"
	if _, err := conn.Exec(ctx, "DROP TABLE IF EXISTS "+wide+"; CREATE TABLE "+wide+" (a int)"); err != nil {
		return err
	}
	for width := 1; width < 4; width++ {
		rows, err := conn.Query(ctx, "SELECT * FROM "+wide)
		if err != nil {
			return err
		}
		rows.Close()
		// pgx itself reports the first run after the change once and forgets its copy.
		if err := rows.Err(); err != nil {
			if _, err := fails(err, "0A000"); err != nil {
				return err
			}
		}
		if _, err := conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s ADD COLUMN c%d int", wide, width)); err != nil {
			return err
		}
	}
	_, err := conn.Exec(ctx, "DROP TABLE "+wide)
	return err
}

func pipelineSyncs(ctx context.Context, conn *pgx.Conn) error {
	p := conn.PgConn().StartPipeline(ctx)
	p.SendQueryParams("SELECT 'first'", nil, nil, nil, nil)
	p.SendQueryParams("SELECT 1/0", nil, nil, nil, nil)
	p.SendQueryParams("SELECT 'skipped'", nil, nil, nil, nil)
	if err := p.Sync(); err != nil {
		return err
	}
	p.SendQueryParams("SELECT 'second'", nil, nil, nil, nil)
	if err := p.Sync(); err != nil {
		return err
	}
	var seen []string
	for {
		results, err := p.GetResults()
		if err != nil {
			if _, err := fails(err, "22012"); err != nil {
				return err
			}
			seen = append(seen, "error")
			continue
		}
		if results == nil {
			break
		}
		switch r := results.(type) {
		case *pgconn.ResultReader:
			got := r.Read()
			if got.Err != nil {
				if _, err := fails(got.Err, "22012"); err != nil {
					return err
				}
				seen = append(seen, "error")
				continue
			}
			seen = append(seen, string(got.Rows[0][0]))
		case *pgconn.PipelineSync:
			seen = append(seen, "sync")
		}
	}
	if err := p.Close(); err != nil {
		return err
	}
	return equal("pipeline", seen, []string{"first", "error", "sync", "second", "sync"})
}

// cancelRequest sends a CancelRequest on a connection of its own; the session lives on.
func cancelRequest(ctx context.Context, conn *pgx.Conn) error {
	begun := time.Now()
	timer := time.AfterFunc(500*time.Millisecond, func() { _ = conn.PgConn().CancelRequest(ctx) })
	defer timer.Stop()
	_, err := conn.Exec(ctx, "SELECT pg_sleep(30)")
	if _, err := fails(err, "57014"); err != nil {
		return err
	}
	if time.Since(begun) > 10*time.Second {
		return errors.New("the cancel took effect late")
	}
	return wantScalar(ctx, conn, 1, "SELECT 1")
}

// cancelByContext: pgx closes the connection under a cancelled context; others must not notice.
func cancelByContext(ctx context.Context, conn *pgx.Conn) error {
	for i := 0; i < 5; i++ {
		victim, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return err
		}
		short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
		_, err = victim.Exec(short, "SELECT pg_sleep(30)")
		stop()
		if err == nil || !victim.IsClosed() {
			return fmt.Errorf("the statement was not given up: %v", err)
		}
		if err := wantScalar(ctx, conn, i, "SELECT $1::int4", i); err != nil {
			return err
		}
	}
	return nil
}

func setLasts(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "SET work_mem = '7MB'"); err != nil {
		return err
	}
	return wantScalar(ctx, conn, "7MB", "SHOW work_mem")
}

func listen(ctx context.Context, conn *pgx.Conn) error {
	for _, sql := range []string{"LISTEN " + table, "NOTIFY " + table + ", 'hello'"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	note, err := conn.WaitForNotification(ctx)
	if err != nil {
		return err
	}
	return equal("payload", note.Payload, "hello")
}

func advisoryLock(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(815)"); err != nil {
		return err
	}
	return wantScalar(ctx, conn, true, "SELECT pg_advisory_unlock(815)")
}

// witness: the turn of one worker; every row and every error must carry its own name.
func witness(ctx context.Context, pool *pgxpool.Pool, me string, turn int) error {
	return pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, "SELECT $1::text, g::int4 FROM generate_series(1, 40) g", me)
		if err != nil {
			return err
		}
		count := 0
		var who string
		var g int
		if _, err := pgx.ForEachRow(rows, []any{&who, &g}, func() error {
			count++
			return equal(me, fmt.Sprint(who, g), fmt.Sprint(me, count))
		}); err != nil || count != 40 {
			return fmt.Errorf("%s: %d rows, %v", me, count, err)
		}
		pgErr, err := fails(conn.QueryRow(ctx, "SELECT $1::text::int4", me).Scan(new(int)), "22P02")
		if err != nil || !strings.Contains(pgErr.Message, `"`+me+`"`) {
			return fmt.Errorf("%s got the error %v %v", me, pgErr, err)
		}
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "INSERT INTO "+table+" (who, n) VALUES ($1, $2)", me, turn); err != nil {
				return err
			}
			n, err := scalar[int](ctx, tx, "SELECT count(*)::int4 FROM "+table+" WHERE who = $1", me)
			if err != nil {
				return err
			}
			return equal(me, n, turn+1)
		})
	})
}

func witnesses(ctx context.Context, conn *pgx.Conn) error {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return err
	}
	config.MaxConns = 10
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	var group sync.WaitGroup
	failures := make(chan error, 24)
	for number := 0; number < 24; number++ {
		group.Add(1)
		go func(me string) {
			defer group.Done()
			for turn := 0; turn < 20; turn++ {
				if err := witness(ctx, pool, me, turn); err != nil {
					failures <- err
					return
				}
			}
		}(fmt.Sprintf("worker %d", number))
	}
	group.Wait()
	close(failures)
	if err := <-failures; err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "DROP TABLE "+table)
	return err
}

func checks() []check {
	list := []check{{"connect and version", connectAndVersion}, {"table made", makeTable}}
	for _, name := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		list = append(list, check{"exec mode " + name, inMode(modes[name])})
	}
	return append(list, []check{
		{"statement cache with evictions", cacheEviction},
		{"named prepare, deallocate, prepare again", namedPrepare},
		{"DEALLOCATE ALL between statements", deallocateAll},
		{"batch", batch},
		{"batch with an error in the middle", batchWithError},
		{"CopyFrom, and one given up", copyFrom},
		{"CopyTo", copyTo},
		{"transactions and savepoints", transactions},
		{"errors carry their fields", errorFields},
		{"schema change under a cached statement", schemaChange},
		{"pipeline with two syncs and an error", pipelineSyncs},
		{"cancel request", cancelRequest},
		{"cancel by context", cancelByContext},
		{"SET lasts for the session", setLasts},
		{"LISTEN and NOTIFY", listen},
		{"advisory lock of the session", advisoryLock},
		{"witness: 24 workers over a pool of 10", witnesses},
	}...)
}

// outcome runs one check on a connection of its own and says its line.
func outcome(c check) (line string, failed bool) {
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	conn, err := pgx.Connect(ctx, dsn)
	if err == nil {
		err = c.run(ctx, conn)
		_ = conn.Close(ctx)
	}
	if err != nil {
		return "not ok pgx/" + c.name + ": " + strings.ReplaceAll(err.Error(), "\n", " | "), true
	}
	return "ok pgx/" + c.name, false
}

func main() {
	code := 0
	for _, c := range checks() {
		line, failed := outcome(c)
		if failed {
			code = 1
		}
		fmt.Println(line)
	}
	os.Exit(code)
}
