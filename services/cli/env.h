/* What the command line was started with: descriptors, environment. Before any other thread. */
#ifndef HF_CLI_ENV_H
#define HF_CLI_ENV_H

/* Open what is closed of standard input, output and error: else the next file opened takes the
 * number, and a progress line goes into a database file that is being restored. */
void env_fill_descriptors(void);
/* Forget what libpq would read by itself: PGPORT or PGOPTIONS of a shell speak of somebody's own
 * server, not of the private one. PGPASSWORD and PGPASSFILE stay: `cluster add` reads them. */
void env_forget_libpq(void);
/* Forget everything: a supervisor lives for long, and passwords of a shell are not its business.
 * Values of svc_getenv are gone after it. */
void env_clear(void);

#endif
