/* Life of the process: start all parts in order, stop them in reverse. */
#ifndef HF_BACKUP_SERVICE_H
#define HF_BACKUP_SERVICE_H

#include "svc/run.h"

#ifndef HF_VERSION
#define HF_VERSION "0.1.0"
#endif

extern const struct svc_service backup_service;

#endif
