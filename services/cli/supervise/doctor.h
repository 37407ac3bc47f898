/* What the checks of `holdfast doctor` share. Used by the one thread of the command. */
#ifndef HF_CLI_SUPERVISE_DOCTOR_H
#define HF_CLI_SUPERVISE_DOCTOR_H

#include "base/vec.h"
#include "cli/client.h"
#include "cli/supervise/place.h"

enum verdict { GOOD, WARN, BAD };

struct check {
    const char *name;
    enum verdict verdict;
    const char *what;
    const char *fix;
};

struct doctor {
    struct cli *cli;
    struct place place;
    HF_VEC(struct check) checks;
};

/* One finding; texts live as long as the command. fix is the command that mends it. */
void doctor_tell(struct doctor *doctor, enum verdict verdict, const char *name, const char *what,
                 const char *fix);
/* Of a service that runs, and says nothing or the wrong thing. */
const char *doctor_restart(const struct doctor *doctor);
/* What stands before a command that is to run as the servers' user; "" for himself. */
const char *doctor_as_user(const struct doctor *doctor);

void doctor_cluster(struct doctor *doctor, const PbBackup__Cluster *cluster);

#endif
