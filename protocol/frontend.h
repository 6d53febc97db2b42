/* Messages to a server that are our own: the whole message is appended to a writer.
 *
 * Source: the manual, "Frontend/Backend Protocol", Message Formats. What belongs to a client is
 * passed on as it is (pool/session.h); what we say ourselves is here, always in text format.
 */
#ifndef PROTOCOL_FRONTEND_H
#define PROTOCOL_FRONTEND_H

struct writer;

/* A Parse without parameter types. */
void frontend_parse(struct writer *writer, const char *name, const char *sql);

/* A Bind without values. */
void frontend_bind(struct writer *writer, const char *portal, const char *statement);

/* An Execute of all rows. */
void frontend_execute(struct writer *writer, const char *portal);

/* A Describe of a statement. */
void frontend_describe(struct writer *writer, const char *name);

/* A Close; `kind` is 'S' for a statement, 'P' for a portal. */
void frontend_close(struct writer *writer, char kind, const char *name);
void frontend_sync(struct writer *writer);
void frontend_query(struct writer *writer, const char *sql);

#endif
