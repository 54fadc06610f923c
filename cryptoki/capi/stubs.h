/*
 * What the C files of this package and its Go files have in common.
 */
#ifndef PERILUNE_STUBS_H
#define PERILUNE_STUBS_H

#include <stdint.h>

#include "perilune.h"

/* The functions by number: F_C_Initialize, F_C_Finalize and so on. */
enum perilune_function {
#define NUMBER_(name, params, args) F_##name,
  CK_FUNCTIONS_ALL(NUMBER_)
  CK_FUNCTIONS_VENDOR(NUMBER_)
#undef NUMBER_
  F_COUNT
};

/* No function has more arguments. */
#define PERILUNE_MAX_ARGS 12

/*
 * fork.c. In a child process the Go runtime of its parent is dead, and no call
 * may reach it. perilune_forked tells; perilune_heir has the function lists of
 * the fresh copy of the library that serves this process, or is null if there
 * is none yet and create is not set, or if it could not be loaded.
 */
struct perilune_heir {
  CK_FUNCTION_LIST_3_2_PTR standard;
  CK_CA_FUNCTION_LIST_PTR vendor;
};
int perilune_forked(void);
const struct perilune_heir *perilune_heir(int create);

#endif
