<?php
// PDO: statements prepared by the protocol and deallocated by SQL, emulated ones, scrollable cursors,
// lastInsertId, COPY, large objects, notifications.
//
// Reads HOWDAH_TEST_DSN and _SALT and prints one line a check, as tests/clients/client_suite.py says.
declare(strict_types=1);

const LIMIT_S = 60;
define('URL', parse_url(getenv('HOWDAH_TEST_DSN')));
define('T', 'pdo_items_' . (getenv('HOWDAH_TEST_SALT') ?: 't'));

$checks = [];

function check(string $name, callable $run, array $options = []): void
{
    global $checks;
    $checks[$name] = fn () => $run(connect($options));
}

function connect(array $options = []): PDO
{
    $dsn = sprintf('pgsql:host=%s;port=%d;dbname=%s', URL['host'], URL['port'], ltrim(URL['path'], '/'));
    return new PDO($dsn, URL['user'], URL['pass'] ?? null, $options + [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
}

function equal(mixed $got, mixed $wanted, string $what = 'value'): void
{
    if ($got !== $wanted) {
        throw new Exception(sprintf('%s: got %.200s, wanted %.200s', $what, json_encode($got), json_encode($wanted)));
    }
}

function fails(callable $call, string $sqlstate): PDOException
{
    try {
        $call();
    } catch (PDOException $error) {
        equal($error->getCode(), $sqlstate, 'SQLSTATE of "' . $error->getMessage() . '"');
        return $error;
    }
    throw new Exception("no error, wanted $sqlstate");
}

function scalar(PDO $db, string $sql): mixed
{
    return $db->query($sql)->fetchColumn();
}

check('connect, and what the driver asks', function (PDO $db) {
    equal(version_compare($db->getAttribute(PDO::ATTR_SERVER_VERSION), '14', '>='), true, 'server version');
    equal(str_contains($db->getAttribute(PDO::ATTR_CONNECTION_STATUS), 'OK'), true, 'status');
    equal($db->getAttribute(PDO::ATTR_SERVER_INFO) !== '', true, 'server info');
});

check('create, insert, lastInsertId', function (PDO $db) {
    $db->exec('DROP TABLE IF EXISTS ' . T);
    $db->exec('CREATE TABLE ' . T . ' (id serial PRIMARY KEY, who text, n int)');
    try {
        $db->lastInsertId(); // until somebody in a pool has asked, values are not kept: docs/compatibility.md
    } catch (PDOException $error) {
        equal($error->getCode(), '55000', 'SQLSTATE');
    }
    $insert = $db->prepare('INSERT INTO ' . T . ' (who, n) VALUES (?, ?)');
    $db->beginTransaction();
    for ($i = 1; $i <= 20; $i++) {
        $insert->execute(['a', $i]);
        equal($db->lastInsertId(), (string) $i, 'lastval');
        equal($db->lastInsertId(T . '_id_seq'), (string) $i, 'currval');
    }
    $db->commit();
    equal(scalar($db, 'SELECT sum(n) FROM ' . T), 210);
});

check('statements prepared by the protocol, deallocated by SQL', function (PDO $db) {
    for ($turn = 0; $turn < 30; $turn++) {
        $plus = $db->prepare("SELECT ?::int + $turn AS n");
        for ($i = 0; $i < 4; $i++) {
            $plus->execute([$i]);
            equal($plus->fetchAll(PDO::FETCH_COLUMN), [$i + $turn], 'plus');
        }
        unset($plus); // here PDO sends DEALLOCATE pdo_stmt_...
    }
});

check('many statements alive at once, and deallocated in a transaction', function (PDO $db) {
    $statements = [];
    for ($i = 0; $i < 60; $i++) {
        $statements[] = $db->prepare("SELECT :n::int * $i AS n");
    }
    $db->beginTransaction();
    for ($i = 0; $i < 60; $i++) {
        $statements[$i]->execute(['n' => 3]);
        equal($statements[$i]->fetchColumn(), 3 * $i, 'times');
        if ($i % 2 == 0) {
            unset($statements[$i]);
        }
    }
    $db->rollBack();
    foreach ($statements as $i => $statement) {
        $statement->execute(['n' => 4]);
        equal($statement->fetchColumn(), 4 * $i, 'after the rollback');
    }
});

check('a statement deallocated in a failed transaction', function (PDO $db) {
    $db->beginTransaction();
    $statement = $db->prepare('SELECT 1 / ?::int');
    fails(fn () => $statement->execute([0]), '22012');
    unset($statement); // its DEALLOCATE fails, and PDO says nothing
    $db->rollBack();
    $again = $db->prepare('SELECT 1 / ?::int');
    $again->execute([1]);
    equal($again->fetchColumn(), 1);
});

check('emulated prepares', function (PDO $db) {
    $echo = $db->prepare('SELECT ?::text, ?::int');
    for ($i = 0; $i < 20; $i++) {
        $echo->execute(["O'Re\\illy $i", $i]);
        equal($echo->fetch(PDO::FETCH_NUM), ["O'Re\\illy $i", $i], 'echo');
    }
}, [PDO::ATTR_EMULATE_PREPARES => true]);

check('prepares disabled: the unnamed statement', function (PDO $db) {
    $echo = $db->prepare('SELECT ?::text, ?::int');
    for ($i = 0; $i < 20; $i++) {
        $echo->execute(["text $i", $i]);
        equal($echo->fetch(PDO::FETCH_NUM), ["text $i", $i], 'echo');
    }
}, [PDO::PGSQL_ATTR_DISABLE_PREPARES => true]);

check('scrollable cursor', function (PDO $db) {
    $db->beginTransaction();
    $rows = $db->prepare('SELECT g FROM generate_series(1, ?::int) g', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
    $rows->execute([100]);
    equal($rows->fetchColumn(), 1, 'first');
    equal($rows->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_LAST), [100], 'last');
    equal($rows->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_PRIOR), [99], 'prior');
    equal($rows->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_ABS, 42), [42], 'absolute');
    unset($rows);
    $db->commit();
});

check('transactions, savepoints, errors', function (PDO $db) {
    $db->beginTransaction();
    $db->exec('INSERT INTO ' . T . " (who) VALUES ('undone')");
    $db->exec('SAVEPOINT s');
    equal(str_contains(fails(fn () => $db->exec('SELECT nope'), '42703')->getMessage(), 'nope'), true, 'message');
    fails(fn () => $db->exec('SELECT 1'), '25P02');
    $db->exec('ROLLBACK TO s');
    $pids = [];
    for ($i = 0; $i < 10; $i++) {
        $pids[scalar($db, 'SELECT pg_backend_pid()')] = true;
    }
    equal(count($pids), 1, 'backends of one transaction');
    $db->rollBack();
    equal(scalar($db, 'SELECT count(*) FROM ' . T . " WHERE who = 'undone'"), 0, 'rows');
    fails(fn () => $db->exec('INSERT INTO ' . T . ' (id) SELECT id FROM ' . T . ' LIMIT 1'), '23505');
});

check('types', function (PDO $db) {
    $echo = $db->prepare('SELECT ?::bool, ?::int8, ?::float8, ?::text, ?::bytea, ?::int');
    $echo->bindValue(1, true, PDO::PARAM_BOOL);
    $echo->bindValue(2, 1 << 40, PDO::PARAM_INT);
    $echo->bindValue(3, '2.5');
    $echo->bindValue(4, 'ü😀');
    $echo->bindValue(5, "\0\xff", PDO::PARAM_LOB);
    $echo->bindValue(6, null, PDO::PARAM_NULL);
    $echo->execute();
    $row = $echo->fetch(PDO::FETCH_NUM);
    equal(stream_get_contents($row[4]), "\0\xff", 'bytea');
    unset($row[4]);
    equal(json_encode(array_values($row)), json_encode([true, 1 << 40, '2.5', 'ü😀', null]), 'row');
});

check('COPY by arrays', function (PDO $db) {
    $lines = array_map(fn ($i) => "copied\t$i\n", range(1, 5000));
    equal($db->pgsqlCopyFromArray(T, $lines, "\t", '\\\\N', 'who, n'), true, 'in');
    equal(scalar($db, 'SELECT sum(n) FROM ' . T . " WHERE who = 'copied'"), 12502500);
    equal(count($db->pgsqlCopyToArray('(SELECT n FROM ' . T . " WHERE who = 'copied')")), 5000, 'out');
    fails(fn () => $db->pgsqlCopyFromArray(T, ["x\tbad\n"], "\t", '\\\\N', 'who, n'), '22P02');
    equal(scalar($db, 'SELECT 1'), 1, 'after the failed COPY');
});

check('large objects', function (PDO $db) {
    $db->beginTransaction();
    $oid = $db->pgsqlLOBCreate();
    $stream = $db->pgsqlLOBOpen($oid, 'w');
    fwrite($stream, str_repeat("\0\xff", 50000));
    $stream = null;
    equal(strlen(stream_get_contents($db->pgsqlLOBOpen($oid, 'r'))), 100000, 'bytes');
    equal($db->pgsqlLOBUnlink($oid), true, 'unlink');
    $db->commit();
});

check('SET, temporary table, advisory lock', function (PDO $db) {
    $db->exec("SET work_mem = '7MB'");
    $db->exec('CREATE TEMP TABLE tmp AS SELECT 5 AS v');
    $db->query('SELECT pg_advisory_lock(4712)')->fetchAll();
    equal(scalar($db, 'SHOW work_mem'), '7MB', 'work_mem');
    equal(scalar($db, 'SELECT v FROM tmp'), 5, 'v');
    equal(scalar($db, 'SELECT pg_advisory_unlock(4712)'), true, 'unlock');
});

check('LISTEN and NOTIFY', function (PDO $db) {
    $db->exec('LISTEN ' . T);
    $other = connect();
    $other->exec('NOTIFY ' . T . ", 'hello'");
    $heard = $db->pgsqlGetNotify(PDO::FETCH_ASSOC, 10000);
    equal($heard['payload'] ?? null, 'hello', 'payload');
    equal($heard['pid'], $other->pgsqlGetPid(), "the notifier's pid");
});

check('persistent connections', function (PDO $db) {
    for ($i = 0; $i < 5; $i++) {
        $kept = connect([PDO::ATTR_PERSISTENT => true]);
        $statement = $kept->prepare('SELECT ?::int');
        $statement->execute([$i]);
        equal($statement->fetchColumn(), $i);
        $statement = $kept = null;
    }
});

check('witness: 12 connections in turn see only their own rows', function (PDO $db) {
    $connections = array_map(fn () => connect(), range(0, 11));
    $mine = array_map(fn ($one) => $one->prepare('SELECT ?::text, g FROM generate_series(1, 40) g'), $connections);
    for ($turn = 0; $turn < 15; $turn++) {
        foreach ($connections as $number => $one) {
            $me = "worker $number";
            $mine[$number]->execute([$me]);
            equal($mine[$number]->fetchAll(PDO::FETCH_NUM), array_map(fn ($g) => [$me, $g], range(1, 40)), $me);
            $one->exec('INSERT INTO ' . T . " (who, n) VALUES ('$me', $turn)");
            equal(scalar($one, 'SELECT count(*) FROM ' . T . " WHERE who = '$me'"), $turn + 1, $me);
            $error = fails(fn () => $one->query("SELECT '$me'::text::int"), '22P02');
            equal(str_contains($error->getMessage(), "\"$me\""), true, "$me got the error " . $error->getMessage());
        }
    }
    $db->exec('DROP TABLE ' . T);
});

pcntl_async_signals(true);
pcntl_signal(SIGALRM, fn () => throw new Exception('no answer within ' . LIMIT_S . ' s'));
$code = 0;
foreach ($checks as $name => $run) {
    $line = "ok pdo/$name";
    pcntl_alarm(LIMIT_S);
    try {
        $run();
    } catch (Throwable $error) {
        $line = "not ok pdo/$name: " . preg_replace('/\s*\n\s*/', ' | ', $error->getMessage());
        $code = 1;
    }
    pcntl_alarm(0);
    echo $line, "\n";
}
exit($code);
