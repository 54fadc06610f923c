/* What the test programs have in common. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pkcs11.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int failures;

__attribute__((format(printf, 1, 2), unused)) static void wrong(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  failures++;
}

#define EXPECT(call, want)                                               \
  do {                                                                   \
    CK_RV got_ = (call);                                                 \
    if (got_ != (want))                                                  \
      wrong("%d: %s answers 0x%lx, not " #want, __LINE__, #call, got_);  \
  } while (0)
#define OK(call) EXPECT(call, CKR_OK)
#define CHECK(condition)                                                 \
  do {                                                                   \
    if (!(condition)) wrong("%d: not so: %s", __LINE__, #condition);     \
  } while (0)

__attribute__((unused)) static void *load(const char *path, int flags) {
  void *module = dlopen(path, RTLD_NOW | flags);
  if (!module) {
    fprintf(stderr, "%s\n", dlerror());
    exit(1);
  }
  return module;
}

__attribute__((unused)) static CK_FUNCTION_LIST_PTR functions(void *module) {
  CK_FUNCTION_LIST_PTR list = NULL;
  CK_C_GetFunctionList get = (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList");
  if (!get || get(&list) != CKR_OK) {
    fprintf(stderr, "no function list\n");
    exit(1);
  }
  return list;
}
