/* holdfast-backup: the only file that knows where the service begins. */
#include "backup/service.h"

int main(int argc, char *argv[])
{
    return svc_main(&backup_service, argc, argv);
}
