"""Django: migrations, the ORM, server-side cursors and persistent connections, over psycopg 2 and 3.

Django takes one of the two, psycopg 3 first; so each has a process of its own.
"""

import datetime
import os
import subprocess
import sys
import tempfile

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
DRIVER = os.environ.get("HOWDAH_TEST_DRIVER", "psycopg")
if DRIVER == "psycopg2":
    sys.modules["psycopg"] = None  # Django then imports psycopg2

from urllib.parse import urlsplit  # noqa: E402

import django  # noqa: E402
from django.conf import settings  # noqa: E402

from client_suite import Suite, equal, in_threads, raises, true  # noqa: E402

suite = Suite("django")
URL = urlsplit(suite.dsn)
APP = suite.table("app")


def database(**changes):
    options = {"application_name": "django", **({"server_side_binding": True} if DRIVER == "psycopg" else {})}
    return {"ENGINE": "django.db.backends.postgresql", "NAME": URL.path[1:], "USER": URL.username, "HOST": URL.hostname,
            "PORT": URL.port, "PASSWORD": URL.password or "", "CONN_MAX_AGE": None, "OPTIONS": options, **changes}


folder = tempfile.TemporaryDirectory(prefix="howdah-django-")
sys.path.insert(0, folder.name)
os.makedirs(f"{folder.name}/{APP}/migrations")
for name in (f"{APP}/__init__.py", f"{APP}/migrations/__init__.py"):
    open(f"{folder.name}/{name}", "w", encoding="utf-8").close()
SERIALIZABLE = {"isolation_level": 3 if DRIVER == "psycopg2" else 4}
settings.configure(
    DATABASES={"default": database(), "unpersistent": database(CONN_MAX_AGE=0, CONN_HEALTH_CHECKS=True),
               "serializable": database(OPTIONS=SERIALIZABLE)},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.postgres", APP],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", USE_TZ=True, TIME_ZONE="Europe/Berlin")
django.setup()

from django.contrib.postgres.fields import ArrayField  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import DatabaseError, IntegrityError, connection, connections, models, transaction  # noqa: E402
from django.db.models import Count, F, Q, Sum  # noqa: E402


class Author(models.Model):
    """One author, many books."""

    name = models.CharField(max_length=100, unique=True)

    class Meta:
        app_label = APP


class Book(models.Model):
    """One book."""

    title = models.CharField(max_length=100)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    tags = ArrayField(models.TextField(), default=list)
    extra = models.JSONField(default=dict)
    made = models.DateTimeField(auto_now_add=True)
    pages = models.IntegerField(default=0)

    class Meta:
        app_label = APP
        indexes = [models.Index(fields=["title"], name=suite.table("title"))]


def check(name):
    """A check that begins without rows."""

    def keep(function):
        def run():
            Author.objects.all().delete()
            function()

        suite.check(f"{DRIVER}: {name}")(run)
        return function

    return keep


@suite.check(f"{DRIVER}: migrations made and run, down and up")
def _():
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {APP}_book, {APP}_author CASCADE")
        cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL")
        if cursor.fetchone()[0]:
            cursor.execute("DELETE FROM django_migrations WHERE app = %s", [APP])
    call_command("makemigrations", APP, verbosity=0)
    for target in ((), (APP, "zero"), (APP,)):
        call_command("migrate", *target, verbosity=0)
    call_command("makemigrations", APP, check_changes=True, verbosity=0)
    equal(connection.introspection.table_names().count(f"{APP}_book"), 1, "tables")


@check("create, read, update, delete, aggregates")
def _():
    borges = Author.objects.create(name="Borges")
    books = [Book(title=f"t{n}", author=borges, tags=["a", "ü{}"], extra={"n": n}) for n in range(700)]
    Book.objects.bulk_create(books, batch_size=200)
    equal(Book.objects.filter(tags__contains=["a"], extra__n__gte=650).count(), 50, "ARRAY and JSONB")
    Book.objects.filter(Q(extra__n=3) | Q(title="t4")).update(pages=F("pages") + 10)
    equal(Author.objects.annotate(n=Count("books"), p=Sum("books__pages")).values_list("n", "p").get(), (700, 20))
    equal(len(Author.objects.prefetch_related("books").get().books.all()), 700, "prefetch_related")
    equal(Book.objects.select_related("author").first().author.name, "Borges", "select_related")
    book, made = Author.objects.get_or_create(name="Borges")
    equal(made, False, "get_or_create")
    equal(Author.objects.bulk_create([Author(name="Borges")], update_conflicts=True, unique_fields=["name"],
                                     update_fields=["name"])[0].pk, book.pk, "upsert")
    true(abs(Book.objects.first().made - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=5),
         "times are those of the session's zone")


@check("atomic blocks nested, undone and durable")
def _():
    for turn in range(6):
        with transaction.atomic(durable=True):
            Author.objects.create(name=f"kept {turn}")
            with raises(IntegrityError):
                with transaction.atomic():
                    Author.objects.create(name=f"kept {turn}")
            with transaction.atomic():
                Author.objects.create(name=f"nested {turn}")
                transaction.set_rollback(turn % 2 == 0)
    equal(Author.objects.count(), 9)


@check("server-side cursors by iterator(), in and out of a transaction")
def _():
    Author.objects.bulk_create([Author(name=f"a{n:04}") for n in range(3000)])
    for _ in range(3):
        rows = Author.objects.order_by("name").iterator(chunk_size=100)
        equal([next(rows).name for _ in range(150)][149], "a0149", "half a cursor WITH HOLD")
        equal(Author.objects.filter(name__lt="a0010").count(), 10, "another statement between")
        equal(len(list(rows)), 2850, "the other half")
    with transaction.atomic():
        equal(sum(1 for _ in Author.objects.iterator(chunk_size=250)), 3000, "in a transaction")
    next(Author.objects.iterator(chunk_size=10))  # abandoned


@check("select_for_update, serialisation and on_commit")
def _():
    Author.objects.create(name="locked")
    done = []
    with transaction.atomic():
        author = Author.objects.select_for_update(nowait=True).get(name="locked")
        transaction.on_commit(lambda: done.append(author.pk))
        with raises(DatabaseError):
            with transaction.atomic(using="unpersistent"):
                Author.objects.using("unpersistent").select_for_update(nowait=True).get(name="locked")
    equal(done, [author.pk], "on_commit")
    with transaction.atomic(using="serializable"), connections["serializable"].cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        equal(cursor.fetchone(), ("serializable",))


@check("connections: persistent ones checked, and one that was lost")
def _():
    for alias in ("unpersistent", "default"):
        one = connections[alias]
        with one.cursor() as cursor:
            cursor.execute("SHOW TimeZone")
            equal(cursor.fetchone(), ("UTC",), "Django's zone at the server")
        one.close_if_unusable_or_obsolete()
    with raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    connection.close_if_unusable_or_obsolete()
    equal(Author.objects.count(), 0, "after the loss")


@check("witness: 8 threads see only their own rows")
def _():
    def work(number):
        try:
            me = f"worker {number}"
            author = Author.objects.create(name=me)
            for turn in range(15):
                with transaction.atomic():
                    Book.objects.create(title=me, author=author, extra={"turn": turn})
                titles = [book.title for book in Book.objects.filter(author__name=me).iterator(chunk_size=5)]
                equal(titles, [me] * (turn + 1), me)
        finally:
            connections.close_all()

    in_threads(8, work)


@suite.check(f"{DRIVER}: migrated away, tables dropped")
def _():
    for app in (APP, "auth", "contenttypes"):
        call_command("migrate", app, "zero", verbosity=0)
    equal(connection.introspection.table_names().count(f"{APP}_book"), 0, "tables")


if __name__ == "__main__":
    if "HOWDAH_TEST_DRIVER" not in os.environ:
        codes = [subprocess.run([sys.executable, *sys.argv], env={**os.environ, "HOWDAH_TEST_DRIVER": driver},
                                check=False).returncode for driver in ("psycopg2", "psycopg")]
        folder.cleanup()
        sys.exit(max(codes))
    suite.at_end(folder.cleanup)
    suite.main()
