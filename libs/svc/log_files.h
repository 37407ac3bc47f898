/* Bounds of the files below log/, which a supervisor keeps and each service knows as settings, for
 * it judges the operator's file. */
#ifndef HF_SVC_LOG_FILES_H
#define HF_SVC_LOG_FILES_H

#define SVC_LOG_FILE_MIB 16
#define SVC_LOG_FILES 4 /* of one server: the one that is written and three older ones */
#define SVC_LOG_FILES_MIN 2
#define SVC_LOG_FILES_MAX 1000

#endif
