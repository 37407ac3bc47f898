/* Programs of a test: fork, drop to another user, exec, wait. */
#ifndef HF_TESTKIT_RUN_H
#define HF_TESTKIT_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Who a program runs as; is_set false: as we are. */
struct testkit_user {
    bool is_set;
    uid_t uid;
    gid_t gid;
    char name[64];
};
/* name when we are root, else unset. Aborts when root and there is no such user. */
struct testkit_user testkit_user_find(const char *name);
/* Give path and all below it to user; nothing to do when it is unset. */
void testkit_chown_tree(const char *path, const struct testkit_user *user);

/* Start argv (argv[0] is a path). Standard output and errors go to fd out (-1: ours), input is
 * empty. It gets SIGQUIT (PostgreSQL's immediate stop) when the thread that spawned it ends. */
pid_t testkit_spawn(const char *const argv[], const struct testkit_user *user, int out);
/* Exit status, 128 + signal when killed. */
int testkit_wait(pid_t pid);
/* Spawn and wait; up to 64 MiB of standard output to *ret_out (hf_heap_free it) unless NULL. */
int testkit_run(const char *const argv[], const struct testkit_user *user, char **ret_out);

/* A free loopback port below the ephemeral range. */
int testkit_free_port(void);

#endif
