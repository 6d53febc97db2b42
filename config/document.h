/* The JSON schema and the reference page, from the table of options. */
#ifndef CONFIG_DOCUMENT_H
#define CONFIG_DOCUMENT_H

#include <stdio.h>

/* JSON Schema, draft 2020-12. Comments and trailing commas are beyond what a schema can say. */
void document_write_schema(FILE *out);

/* Markdown. */
void document_write_reference(FILE *out);

#endif
