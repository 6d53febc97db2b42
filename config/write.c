#include "config/write.h"

#include <string.h>

#include "base/assert.h"

void write_json_string(const char *string, FILE *out)
{
    fputc('"', out);
    for (const char *at = string; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte == '"' || byte == '\\') {
            fprintf(out, "\\%c", byte);
        } else if (byte < 0x20) {
            fprintf(out, "\\u%04x", byte);
        } else {
            fputc(byte, out);
        }
    }
    fputc('"', out);
}

static void indent(const struct write_tree *tree)
{
    fprintf(tree->out, "\n%*s", (int)(2 * (tree->depth + 1)), "");
}

void write_tree_begin(struct write_tree *tree, FILE *out)
{
    *tree = (struct write_tree){.out = out, .empty = true};
    fputc('{', out);
}

static void close_object(struct write_tree *tree)
{
    ASSERT(tree->depth > 0);
    tree->depth--;
    if (!tree->empty) {
        indent(tree);
    }
    fputc('}', tree->out);
    tree->empty = false;
}

static void begin_member(struct write_tree *tree, const char *key)
{
    fputs(tree->empty ? "" : ",", tree->out);
    indent(tree);
    write_json_string(key, tree->out);
    fputs(": ", tree->out);
    tree->empty = false;
}

static void open_object(struct write_tree *tree, const char *key)
{
    ASSERT(tree->depth < WRITE_DEPTH_MAX);
    begin_member(tree, key);
    fputc('{', tree->out);
    snprintf(tree->open[tree->depth], WRITE_KEY_BYTES, "%s", key);
    tree->depth++;
    tree->empty = true;
}

void write_tree_key(struct write_tree *tree, const char *path, const char *name)
{
    char key[WRITE_KEY_BYTES];
    size_t level = 0;
    for (;; level++) {
        size_t length = strcspn(path, ".");
        if (path[0] == '<') {
            snprintf(key, sizeof(key), "%s", name);
        } else {
            snprintf(key, sizeof(key), "%.*s", (int)length, path);
        }
        bool last = path[length] == '\0';
        bool same = !last && level < tree->depth && strcmp(tree->open[level], key) == 0;
        while (!same && tree->depth > level) {
            close_object(tree);
        }
        if (last) {
            begin_member(tree, key);
            return;
        }
        if (!same) {
            open_object(tree, key);
        }
        path += length + 1;
    }
}

void write_tree_end(struct write_tree *tree)
{
    while (tree->depth > 0) {
        close_object(tree);
    }
    fputs("\n}\n", tree->out);
}
