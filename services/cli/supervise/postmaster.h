/* Servers of this machine that are to be protected, as far as processes tell. */
#ifndef HF_CLI_SUPERVISE_POSTMASTER_H
#define HF_CLI_SUPERVISE_POSTMASTER_H

#include <sys/types.h>

/* A PostgreSQL that runs as this user and is no installation's own; 0: none. */
pid_t postmaster_of(uid_t uid);

#endif
