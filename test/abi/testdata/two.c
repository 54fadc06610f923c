/* Two modules in one process, each with its own functions of the same names.
 *
 *   two FIRST SECOND local|global
 */
#include "common.h"

static const char *home(void *function) {
  Dl_info info;
  return dladdr(function, &info) ? info.dli_fname : "nowhere";
}

static void at_home(const char *path) {
  void *module = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
  CK_FUNCTION_LIST_PTR f = functions(module);
#define AT_HOME(name, params, args)                                           \
  if (strcmp(home((void *)(uintptr_t)f->name), path))                         \
    wrong(#name " of %s lies in %s", path, home((void *)(uintptr_t)f->name));
  CK_FUNCTIONS_2_40(AT_HOME)
  CK_C_GetInterface get = (CK_C_GetInterface)dlsym(module, "C_GetInterface");
  CK_INTERFACE_PTR it;
  if (get && !strcmp(home((void *)(uintptr_t)get), path)) {
    OK(get(NULL, NULL, &it, 0));
    CHECK(!strcmp(home(it->pFunctionList), path));
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int scope = strcmp(argv[3], "global") ? RTLD_LOCAL : RTLD_GLOBAL;
  CK_FUNCTION_LIST_PTR a = functions(load(argv[1], scope));
  CK_FUNCTION_LIST_PTR b = functions(load(argv[2], scope));
  CHECK(a != b);
  at_home(argv[1]);
  at_home(argv[2]);

  CK_INFO of_a, of_b;
  OK(a->C_Initialize(NULL));
  EXPECT(b->C_GetInfo(&of_b), CKR_CRYPTOKI_NOT_INITIALIZED);
  OK(b->C_Initialize(NULL));
  OK(a->C_GetInfo(&of_a));
  OK(b->C_GetInfo(&of_b));
  CHECK(memcmp(of_a.manufacturerID, of_b.manufacturerID, 32));
  CK_ULONG n;
  OK(a->C_GetSlotList(CK_FALSE, NULL, &n));
  OK(b->C_GetSlotList(CK_FALSE, NULL, &n));
  OK(a->C_Finalize(NULL));
  OK(b->C_GetInfo(&of_b));
  EXPECT(a->C_GetInfo(&of_a), CKR_CRYPTOKI_NOT_INITIALIZED);
  OK(b->C_Finalize(NULL));
  return failures > 0;
}
