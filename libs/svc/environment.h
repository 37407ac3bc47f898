/* Whoever starts a service must not steer the libraries in it: libpq obeys PGHOST, PGSERVICE,
 * PGSSLKEY and the files below HOME, OpenSSL its configuration and engines, the resolver
 * HOSTALIASES. */
#ifndef HF_SVC_ENVIRONMENT_H
#define HF_SVC_ENVIRONMENT_H

/* Forget all variables but the few that are harmless (PATH, TZ, LANG, those of sanitizers). After
 * the configuration was read, before the first thread. */
void svc_environment_clear(void);

#endif
