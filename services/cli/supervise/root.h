/* What root does of up, down, doctor and certs issue before it becomes somebody else. */
#ifndef HF_CLI_SUPERVISE_ROOT_H
#define HF_CLI_SUPERVISE_ROOT_H

#include "cli/cli.h"

struct hf_status root_up(struct cli *cli) HF_MUST_USE;
struct hf_status root_down(struct cli *cli) HF_MUST_USE;
struct hf_status root_doctor(struct cli *cli) HF_MUST_USE;
struct hf_status root_certs_issue(struct cli *cli) HF_MUST_USE;

#endif
