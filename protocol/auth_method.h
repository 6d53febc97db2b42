/* How a client proves who it is: the words of auth.method and of pg_hba.conf. */
#ifndef PROTOCOL_AUTH_METHOD_H
#define PROTOCOL_AUTH_METHOD_H

enum auth_method {
    AUTH_TRUST,
    AUTH_PASSWORD,
    AUTH_MD5,
    AUTH_SCRAM_SHA_256,
    AUTH_CERT,
    AUTH_HBA, /* auth.method only: the hba file decides */
    AUTH_REJECT,
    AUTH_PEER, /* hba only, on a Unix socket: the peer's operating system user is the user */
};

#endif
