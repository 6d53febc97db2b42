#include "router/catalog_build.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/limits.h"
#include "router/catalog_own.h"
#include "router/catalog_source.h"
#include "router/classify_local.h"
#include "router/functions.h"
#include "router/plan.h"

/* Offsets into the builder's text; 0: none. */
struct function {
    uint32_t oid, name, source, customs;
    struct catalog_effect own;
    bool reads_source, is_grouped, takes_one;
};

struct relation {
    uint32_t oid, name, flags;
};

struct use {
    uint32_t from, to;
    uint8_t kind; /* enum catalog_use, or USE_FLAGS */
};

enum { USE_FLAGS = USE_DDL + 1 };

/* One that runs and one that is run: numbers of nodes. */
struct edge {
    uint32_t from, to;
};

/* All objects of one name. */
struct group {
    uint32_t name;
    uint32_t first, count; /* in the order by name */
};

/* An array that grows. */
struct rows {
    void *items;
    uint32_t count, capacity;
};

struct catalog_builder {
    char *text;
    uint32_t text_bytes, text_capacity;
    struct rows functions, relations, uses, edges;

    /* While it is built. */
    struct group *function_groups, *relation_groups;
    uint32_t function_group_count, relation_group_count;
    uint32_t *functions_by_name, *relations_by_name;
    struct catalog_effect *nodes;
    uint32_t customs[LIMIT_CATALOG_CUSTOMS];
    uint32_t custom_count;
    int code;
};

struct catalog_builder *catalog_builder_new(void)
{
    struct catalog_builder *builder = calloc(1, sizeof(*builder));
    if (builder != NULL) {
        builder->text_bytes = 1; /* 0 is none */
    }
    return builder;
}

void catalog_builder_free(struct catalog_builder *builder)
{
    if (builder == NULL) {
        return;
    }
    free(builder->text);
    free(builder->functions.items);
    free(builder->relations.items);
    free(builder->uses.items);
    free(builder->edges.items);
    free(builder->function_groups);
    free(builder->relation_groups);
    free(builder->functions_by_name);
    free(builder->relations_by_name);
    free(builder->nodes);
    free(builder);
}

/* --- adding ---------------------------------------------------------------------------------- */

/* Room for one more; NULL with the builder's code set. */
static void *add_row(struct catalog_builder *builder, struct rows *rows, size_t size, uint32_t max)
{
    if (rows->count == max) {
        builder->code = ERR_LIMIT;
        return NULL;
    }
    if (rows->count == rows->capacity) {
        uint32_t capacity = rows->capacity == 0 ? 64 : rows->capacity * 2;
        void *items = realloc(rows->items, capacity * size);
        if (items == NULL) {
            builder->code = ERR_NO_MEMORY;
            return NULL;
        }
        rows->items = items;
        rows->capacity = capacity;
    }
    void *row = (char *)rows->items + rows->count++ * size;
    memset(row, 0, size);
    return row;
}

/* The offset of a copy; 0 with the code set. */
static uint32_t add_text(struct catalog_builder *builder, const char *text)
{
    size_t bytes = strlen(text) + 1;
    if (bytes > LIMIT_CATALOG_BYTES - builder->text_bytes) {
        builder->code = ERR_LIMIT;
        return 0;
    }
    uint32_t need = builder->text_bytes + (uint32_t)bytes;
    if (need > builder->text_capacity) {
        uint32_t capacity = need * 2;
        char *grown = realloc(builder->text, capacity);
        if (grown == NULL) {
            builder->code = ERR_NO_MEMORY;
            return 0;
        }
        builder->text = grown;
        builder->text_capacity = capacity;
    }
    uint32_t at = builder->text_bytes;
    memcpy(builder->text + at, text, bytes);
    builder->text_bytes = need;
    return at;
}

int catalog_add_function(struct catalog_builder *builder, const struct catalog_function_row *row)
{
    struct function *function =
        add_row(builder, &builder->functions, sizeof(*function), LIMIT_CATALOG_OBJECTS);
    if (function == NULL) {
        return builder->code;
    }
    function->oid = row->oid;
    function->own = catalog_own_effect(row);
    function->reads_source = catalog_reads_source(row);
    function->is_grouped = !row->is_system || function_find(row->name) == NULL;
    function->takes_one = row->takes_one;
    function->name = add_text(builder, row->name);
    function->source = function->reads_source ? add_text(builder, row->source) : 0;
    function->customs = row->customs != NULL ? add_text(builder, row->customs) : 0;
    return builder->code;
}

int catalog_add_relation(struct catalog_builder *builder, uint32_t oid, const char *name,
                         uint32_t flags)
{
    struct relation *relation =
        add_row(builder, &builder->relations, sizeof(*relation), LIMIT_CATALOG_OBJECTS);
    if (relation != NULL) {
        relation->oid = oid;
        relation->flags = flags;
        relation->name = add_text(builder, name);
    }
    return builder->code;
}

static int add_use(struct catalog_builder *builder, uint8_t kind, uint32_t from, uint32_t to)
{
    struct use *use = add_row(builder, &builder->uses, sizeof(*use), LIMIT_CATALOG_USES);
    if (use != NULL) {
        *use = (struct use){.from = from, .to = to, .kind = kind};
    }
    return builder->code;
}

int catalog_add_use(struct catalog_builder *builder, enum catalog_use use, uint32_t from,
                    uint32_t to)
{
    return add_use(builder, (uint8_t)use, from, to);
}

int catalog_add_flags(struct catalog_builder *builder, uint32_t oid, uint32_t flags)
{
    return add_use(builder, USE_FLAGS, oid, flags);
}

/* --- nodes: each has an effect --------------------------------------------------------------- */

/* In this order: functions, relations when read, relations when written, names of functions, names
 * of relations when read, the same when written, and three more. */
static uint32_t read_node(const struct catalog_builder *builder, uint32_t relation)
{
    return builder->functions.count + relation;
}

static uint32_t write_node(const struct catalog_builder *builder, uint32_t relation)
{
    return read_node(builder, builder->relations.count) + relation;
}

static uint32_t function_name_node(const struct catalog_builder *builder, uint32_t group)
{
    return write_node(builder, builder->relations.count) + group;
}

static uint32_t read_name_node(const struct catalog_builder *builder, uint32_t group)
{
    return function_name_node(builder, builder->function_group_count) + group;
}

static uint32_t write_name_node(const struct catalog_builder *builder, uint32_t group)
{
    return read_name_node(builder, builder->relation_group_count) + group;
}

static uint32_t everywhere_node(const struct catalog_builder *builder)
{
    return write_name_node(builder, builder->relation_group_count);
}

static uint32_t ddl_node(const struct catalog_builder *builder)
{
    return everywhere_node(builder) + 1;
}

static uint32_t worst_node(const struct catalog_builder *builder)
{
    return everywhere_node(builder) + 2;
}

static void add_edge(struct catalog_builder *builder, uint32_t from, uint32_t to)
{
    struct edge *edge = add_row(builder, &builder->edges, sizeof(*edge), 4 * LIMIT_CATALOG_USES);
    if (edge != NULL) {
        *edge = (struct edge){from, to};
    }
}

/* --- names ----------------------------------------------------------------------------------- */

static const struct function *function_at(const struct catalog_builder *builder, uint32_t i)
{
    return (const struct function *)builder->functions.items + i;
}

static struct relation *relation_at(const struct catalog_builder *builder, uint32_t i)
{
    return (struct relation *)builder->relations.items + i;
}

static int compare_oid(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right; /* their first member */
    return (a > b) - (a < b);
}

/* One object in the order by name. */
struct named {
    const char *name;
    uint32_t index;
};

static int compare_named(const void *left, const void *right)
{
    return strcmp(((const struct named *)left)->name, ((const struct named *)right)->name);
}

/* Sorts what is named and cuts it into groups. False when memory ran out. */
static bool make_groups(struct catalog_builder *builder, struct named *named, uint32_t count,
                        uint32_t **ret_order, struct group **ret_groups, uint32_t *ret_group_count)
{
    struct group *groups = calloc(count + 1, sizeof(*groups));
    uint32_t *order = calloc(count + 1, sizeof(*order)), group_count = 0;
    *ret_groups = groups;
    *ret_order = order;
    if (groups == NULL || order == NULL) {
        return false;
    }
    if (count > 0) {
        qsort(named, count, sizeof(*named), compare_named);
    }
    for (uint32_t i = 0; i < count; i++) {
        order[i] = named[i].index;
        if (i == 0 || strcmp(named[i].name, named[i - 1].name) != 0) {
            groups[group_count++] = (struct group){
                .name = (uint32_t)(named[i].name - builder->text), .first = i, .count = 0};
        }
        groups[group_count - 1].count++;
    }
    *ret_group_count = group_count;
    return true;
}

static bool group_names(struct catalog_builder *builder)
{
    uint32_t most = builder->functions.count > builder->relations.count ? builder->functions.count
                                                                        : builder->relations.count;
    struct named *named = calloc(most + 1, sizeof(*named));
    uint32_t count = 0;
    if (named == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < builder->functions.count; i++) {
        const struct function *function = function_at(builder, i);
        if (function->is_grouped) {
            named[count++] = (struct named){builder->text + function->name, i};
        }
    }
    bool done = make_groups(builder, named, count, &builder->functions_by_name,
                            &builder->function_groups, &builder->function_group_count);
    for (uint32_t i = 0; i < builder->relations.count; i++) {
        named[i] = (struct named){builder->text + relation_at(builder, i)->name, i};
    }
    done =
        done && make_groups(builder, named, builder->relations.count, &builder->relations_by_name,
                            &builder->relation_groups, &builder->relation_group_count);
    free(named);
    return done;
}

/* The group of that name; UINT32_MAX: there is none. */
static uint32_t find_group(const struct catalog_builder *builder, const struct group *groups,
                           uint32_t count, const char *name)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(name, builder->text + groups[middle].name);
        if (order == 0) {
            return middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return UINT32_MAX;
}

/* --- what runs what -------------------------------------------------------------------------- */

/* A function whose source is read. */
struct reading {
    struct catalog_builder *builder;
    uint32_t function;
    bool writes; /* the second time: relations that it names may be written to */
};

static bool take_word(void *argument, const char *word)
{
    const struct reading *reading = argument;
    struct catalog_builder *builder = reading->builder;
    uint32_t group =
        find_group(builder, builder->relation_groups, builder->relation_group_count, word);
    if (group != UINT32_MAX) {
        add_edge(builder, reading->function,
                 reading->writes ? write_name_node(builder, group)
                                 : read_name_node(builder, group));
    }
    group = reading->writes ? UINT32_MAX
                            : find_group(builder, builder->function_groups,
                                         builder->function_group_count, word);
    if (group != UINT32_MAX) {
        add_edge(builder, reading->function, function_name_node(builder, group));
    }
    return builder->code == 0;
}

static bool take_custom(void *argument, const char *name)
{
    struct catalog_builder *builder = argument;
    for (uint32_t i = 0; i < builder->custom_count; i++) {
        if (strcmp(builder->text + builder->customs[i], name) == 0) {
            return true;
        }
    }
    if (builder->custom_count < LIMIT_CATALOG_CUSTOMS) {
        uint32_t at = add_text(builder, name);
        builder->customs[builder->custom_count] = at;
        builder->custom_count += at != 0;
    }
    return true;
}

/* Sources and names move when the text grows: a copy of one stays where it is. */
static void take_customs(struct catalog_builder *builder, const struct function *function)
{
    char *source = strdup(builder->text + function->source);
    char *customs = strdup(function->customs == 0 ? "" : builder->text + function->customs);
    if (source == NULL || customs == NULL) {
        builder->code = ERR_NO_MEMORY;
    } else {
        char *rest = customs;
        for (char *name = strsep(&rest, " "); name != NULL; name = strsep(&rest, " ")) {
            if (*name != '\0') {
                (void)take_custom(builder, name);
            }
        }
        if (function->source != 0) {
            catalog_source_customs(source, take_custom, builder);
        }
    }
    free(source);
    free(customs);
}

static void read_sources(struct catalog_builder *builder)
{
    enum { SETS = PLAN_TOUCH_UNKNOWN | PLAN_TOUCH_SETTINGS | PLAN_TOUCH_LOCAL };
    for (uint32_t i = 0; i < builder->functions.count && builder->code == 0; i++) {
        const struct function *function = function_at(builder, i);
        struct catalog_effect *effect = &builder->nodes[i];
        struct reading reading = {.builder = builder, .function = i};
        *effect = function->own;
        if (function->reads_source) {
            struct catalog_source found =
                catalog_source_read(builder->text + function->source, take_word, &reading);
            if (found.writes) {
                reading.writes = true;
                (void)catalog_source_read(builder->text + function->source, take_word, &reading);
            }
            effect->touches |= found.touches;
            effect->flags |= (uint8_t)(found.writes ? CATALOG_WRITES : 0);
            effect->local |= found.local;
        }
        if ((effect->touches & SETS) != 0 && (function->reads_source || function->customs != 0)) {
            take_customs(builder, function);
        }
    }
}

/* The index by number; `missing` when there is none. */
static uint32_t find_oid(const struct rows *rows, size_t size, uint32_t oid, uint32_t missing)
{
    const char *found =
        rows->count == 0 ? NULL : bsearch(&oid, rows->items, rows->count, size, compare_oid);
    return found == NULL ? missing : (uint32_t)((size_t)(found - (const char *)rows->items) / size);
}

static uint32_t find_relation(const struct catalog_builder *builder, uint32_t oid)
{
    return find_oid(&builder->relations, sizeof(struct relation), oid, UINT32_MAX);
}

/* The node of a function, or that of the worst. */
static uint32_t called(const struct catalog_builder *builder, uint32_t oid)
{
    return find_oid(&builder->functions, sizeof(struct function), oid, worst_node(builder));
}

static void use_relation(struct catalog_builder *builder, uint32_t from, uint32_t relation,
                         bool is_written)
{
    if (relation == UINT32_MAX) {
        add_edge(builder, from, worst_node(builder));
        return;
    }
    add_edge(builder, from,
             is_written ? write_node(builder, relation) : read_node(builder, relation));
}

static void resolve_use(struct catalog_builder *builder, const struct use *use)
{
    uint32_t function = called(builder, use->from), relation = find_relation(builder, use->from);
    bool is_function = function != worst_node(builder), is_relation = relation != UINT32_MAX;
    switch (use->kind) {
    case USE_CALLS:
        if (is_function) {
            add_edge(builder, function, called(builder, use->to));
        }
        return;
    case USE_FOLLOWS:
        if (is_function) {
            bool writes = (builder->nodes[function].flags & CATALOG_WRITES) != 0;
            use_relation(builder, function, find_relation(builder, use->to), writes);
        }
        return;
    case USE_READ_CALLS:
    case USE_WRITE_CALLS:
        if (is_relation) {
            bool writes = use->kind == USE_WRITE_CALLS;
            add_edge(builder, writes ? write_node(builder, relation) : read_node(builder, relation),
                     called(builder, use->to));
        }
        return;
    case USE_READS:
    case USE_WRITES:
        if (is_relation) {
            bool writes = use->kind == USE_WRITES;
            use_relation(builder,
                         writes ? write_node(builder, relation) : read_node(builder, relation),
                         find_relation(builder, use->to), writes);
        }
        return;
    case USE_EVERYWHERE:
        add_edge(builder, everywhere_node(builder), called(builder, use->to));
        return;
    case USE_DDL:
        add_edge(builder, ddl_node(builder), called(builder, use->to));
        return;
    case USE_FLAGS:
        if (is_relation) {
            relation_at(builder, relation)->flags |= use->to;
        }
        return;
    default:
        UNREACHABLE();
    }
}

/* Names stand for all that have them; whoever writes rows reads some. pg_settings has a rule that
 * sets what is updated. */
static void connect_names(struct catalog_builder *builder)
{
    for (uint32_t g = 0; g < builder->function_group_count; g++) {
        const struct group *group = &builder->function_groups[g];
        for (uint32_t i = group->first; i < group->first + group->count; i++) {
            add_edge(builder, function_name_node(builder, g), builder->functions_by_name[i]);
        }
    }
    for (uint32_t g = 0; g < builder->relation_group_count; g++) {
        const struct group *group = &builder->relation_groups[g];
        for (uint32_t i = group->first; i < group->first + group->count; i++) {
            uint32_t relation = builder->relations_by_name[i];
            add_edge(builder, write_node(builder, relation), read_node(builder, relation));
            /* What is logged of a sequence is ahead of it (SEQ_LOG_VALS in
             * src/backend/commands/sequence.c), and a replica shows that. */
            if ((relation_at(builder, relation)->flags & CATALOG_SEQUENCE) != 0) {
                builder->nodes[read_node(builder, relation)].flags |= CATALOG_VOLATILE;
            }
            builder->nodes[read_node(builder, relation)].local |=
                classify_local_relation(builder->text + group->name);
            if ((relation_at(builder, relation)->flags & CATALOG_UNLOGGED) != 0) {
                builder->nodes[read_node(builder, relation)].local |= PLAN_LOCAL_SERVER;
            }
            add_edge(builder, read_name_node(builder, g), read_node(builder, relation));
            add_edge(builder, write_name_node(builder, g), write_node(builder, relation));
            if (strcmp(builder->text + group->name, "pg_settings") == 0) {
                add_edge(builder, write_node(builder, relation), worst_node(builder));
            }
        }
    }
}

/* Whether `effect` has grown by what it takes. */
static bool take_effect(struct catalog_effect *effect, const struct catalog_effect *from)
{
    uint32_t touches = effect->touches | from->touches;
    uint8_t flags = effect->flags | from->flags, local = effect->local | from->local;
    bool grows = touches != effect->touches || flags != effect->flags || local != effect->local;
    *effect = (struct catalog_effect){touches, flags, local};
    return grows;
}

static int compare_edge(const void *left, const void *right)
{
    const struct edge *a = left, *b = right;
    return (a->to > b->to) - (a->to < b->to);
}

/* Gives each node what those have that it runs. Nodes whose effect has grown wait in a stack, each
 * once; an effect grows a few times at most, so that ends. */
static int spread(struct catalog_builder *builder)
{
    const struct edge *edges = builder->edges.items;
    uint32_t node_count = worst_node(builder) + 1, waiting = 0;
    uint32_t *first = calloc(node_count + 1, sizeof(*first));
    uint32_t *stack = calloc(node_count, sizeof(*stack));
    bool *waits = calloc(node_count, sizeof(*waits));
    int code = first == NULL || stack == NULL || waits == NULL ? ERR_NO_MEMORY : 0;
    if (code == 0 && builder->edges.count > 0) {
        qsort(builder->edges.items, builder->edges.count, sizeof(*edges), compare_edge);
    }
    for (uint32_t i = 0; i < builder->edges.count && code == 0; i++) {
        first[edges[i].to + 1]++;
    }
    for (uint32_t i = 0; i < node_count && code == 0; i++) {
        first[i + 1] += first[i];
        stack[waiting++] = i;
        waits[i] = true;
    }
    while (waiting > 0) {
        uint32_t to = stack[--waiting];
        waits[to] = false;
        for (uint32_t i = first[to]; i < first[to + 1]; i++) {
            uint32_t from = edges[i].from;
            if (take_effect(&builder->nodes[from], &builder->nodes[to]) && !waits[from]) {
                stack[waiting++] = from;
                waits[from] = true;
            }
        }
    }
    free(first);
    free(stack);
    free(waits);
    return code;
}

/* --- the catalog ----------------------------------------------------------------------------- */

static bool allocate(const struct catalog_builder *builder, struct catalog *catalog)
{
    uint32_t use_count = 0;
    const struct use *uses = builder->uses.items;
    for (uint32_t i = 0; i < builder->uses.count; i++) {
        use_count += uses[i].kind == USE_READS;
    }
    catalog->functions = calloc(builder->function_group_count + 1, sizeof(*catalog->functions));
    catalog->relations = calloc(builder->relation_group_count + 1, sizeof(*catalog->relations));
    catalog->customs = calloc(builder->custom_count + 1, sizeof(*catalog->customs));
    catalog->uses = calloc(use_count + 1, sizeof(*catalog->uses));
    return catalog->functions != NULL && catalog->relations != NULL && catalog->customs != NULL &&
           catalog->uses != NULL;
}

/* Copies the names that stay; false when memory ran out. */
static bool copy_names(const struct catalog_builder *builder, struct catalog *catalog)
{
    size_t bytes = 1;
    for (uint32_t i = 0; i < builder->function_group_count; i++) {
        bytes += strlen(builder->text + builder->function_groups[i].name) + 1;
    }
    for (uint32_t i = 0; i < builder->relation_group_count; i++) {
        bytes += strlen(builder->text + builder->relation_groups[i].name) + 1;
    }
    for (uint32_t i = 0; i < builder->custom_count; i++) {
        bytes += strlen(builder->text + builder->customs[i]) + 1;
    }
    catalog->names = malloc(bytes);
    if (catalog->names == NULL) {
        return false;
    }
    char *at = catalog->names;
    for (uint32_t i = 0; i < builder->function_group_count; i++) {
        catalog->functions[i].name = at;
        at = stpcpy(at, builder->text + builder->function_groups[i].name) + 1;
    }
    for (uint32_t i = 0; i < builder->relation_group_count; i++) {
        catalog->relations[i].name = at;
        at = stpcpy(at, builder->text + builder->relation_groups[i].name) + 1;
    }
    for (uint32_t i = 0; i < builder->custom_count; i++) {
        catalog->customs[i] = at;
        at = stpcpy(at, builder->text + builder->customs[i]) + 1;
    }
    return true;
}

static void add_effect(struct catalog_effect *sum, uint32_t touches, unsigned flags)
{
    sum->touches |= touches;
    sum->flags |= (uint8_t)flags;
}

/* A call of PostgreSQL's function of the same name may be one of this, and is not told apart. */
static void look_for_shadow(struct catalog *catalog, const struct catalog_function *function)
{
    const struct function_fact *fact = function_find(function->name);
    if (fact != NULL) {
        bool writes = fact->class != PLAN_READ;
        add_effect(&catalog->everywhere, function->effect.touches & ~fact->touches,
                   writes ? 0 : function->effect.flags & CATALOG_WRITES);
    }
}

static void take_uses(const struct catalog_builder *builder, const uint32_t *group_of,
                      struct catalog *catalog)
{
    const struct use *uses = builder->uses.items;
    uint32_t *ends = calloc(catalog->relation_count + 1, sizeof(*ends));
    uint32_t total = 0;
    for (uint32_t pass = 0; pass < 2 && ends != NULL; pass++) {
        for (uint32_t i = 0; i < builder->uses.count; i++) {
            uint32_t from = find_relation(builder, uses[i].from);
            uint32_t to = find_relation(builder, uses[i].to);
            if (uses[i].kind != USE_READS || from == UINT32_MAX || to == UINT32_MAX) {
                continue;
            }
            struct catalog_relation *relation = &catalog->relations[group_of[from]];
            if (pass == 0) {
                relation->uses_count++;
            } else {
                catalog->uses[ends[group_of[from]]++] = group_of[to];
            }
        }
        for (uint32_t i = 0; i < catalog->relation_count && pass == 0; i++) {
            catalog->relations[i].uses_from = ends[i] = total;
            total += catalog->relations[i].uses_count;
        }
    }
    free(ends);
}

static bool take_relations(const struct catalog_builder *builder, struct catalog *catalog)
{
    uint32_t *group_of = calloc(builder->relations.count + 1, sizeof(*group_of));
    if (group_of == NULL) {
        return false;
    }
    for (uint32_t g = 0; g < builder->relation_group_count; g++) {
        const struct group *group = &builder->relation_groups[g];
        catalog->relations[g].read = builder->nodes[read_name_node(builder, g)];
        catalog->relations[g].write = builder->nodes[write_name_node(builder, g)];
        for (uint32_t i = group->first; i < group->first + group->count; i++) {
            uint32_t relation = builder->relations_by_name[i];
            group_of[relation] = g;
            catalog->relations[g].flags |= relation_at(builder, relation)->flags;
        }
    }
    take_uses(builder, group_of, catalog);
    free(group_of);
    return true;
}

static int make_catalog(const struct catalog_builder *builder, uint64_t serial,
                        struct catalog **ret_catalog)
{
    struct catalog *catalog = calloc(1, sizeof(*catalog));
    if (catalog == NULL) {
        return ERR_NO_MEMORY;
    }
    atomic_init(&catalog->references, 1);
    catalog->serial = serial;
    catalog->function_count = builder->function_group_count;
    catalog->relation_count = builder->relation_group_count;
    catalog->custom_count = builder->custom_count;
    if (!allocate(builder, catalog) || !copy_names(builder, catalog) ||
        !take_relations(builder, catalog)) {
        catalog_unref(catalog);
        return ERR_NO_MEMORY;
    }
    const struct catalog_effect *everywhere = &builder->nodes[everywhere_node(builder)];
    add_effect(&catalog->everywhere, everywhere->touches, everywhere->flags & CATALOG_WRITES);
    catalog->ddl = builder->nodes[ddl_node(builder)];
    for (uint32_t g = 0; g < builder->function_group_count; g++) {
        const struct group *group = &builder->function_groups[g];
        catalog->functions[g].effect = builder->nodes[function_name_node(builder, g)];
        for (uint32_t i = group->first; i < group->first + group->count; i++) {
            catalog->functions[g].takes_one |=
                function_at(builder, builder->functions_by_name[i])->takes_one;
        }
        look_for_shadow(catalog, &catalog->functions[g]);
    }
    *ret_catalog = catalog;
    return 0;
}

int catalog_build(struct catalog_builder *builder, uint64_t serial, struct catalog **ret_catalog)
{
    ASSERT(serial != 0);
    if (builder->functions.count > 0) {
        qsort(builder->functions.items, builder->functions.count, sizeof(struct function),
              compare_oid);
    }
    if (builder->relations.count > 0) {
        qsort(builder->relations.items, builder->relations.count, sizeof(struct relation),
              compare_oid);
    }
    if (builder->code != 0 || !group_names(builder)) {
        return builder->code != 0 ? builder->code : ERR_NO_MEMORY;
    }
    builder->nodes = calloc(worst_node(builder) + 1, sizeof(*builder->nodes));
    if (builder->nodes == NULL) {
        return ERR_NO_MEMORY;
    }
    builder->nodes[worst_node(builder)] = catalog_worst;
    read_sources(builder);
    const struct use *uses = builder->uses.items;
    for (uint32_t i = 0; i < builder->uses.count && builder->code == 0; i++) {
        resolve_use(builder, &uses[i]);
    }
    connect_names(builder);
    int code = builder->code != 0 ? builder->code : spread(builder);
    return code != 0 ? code : make_catalog(builder, serial, ret_catalog);
}
