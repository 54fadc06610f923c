/* Finds the function lists by all ways there are, and calls through each. */
#include "common.h"

static CK_UTF8CHAR standard[] = "PKCS 11", other[] = "Vendor X";

static CK_FUNCTION_LIST_3_2_PTR newest;

static CK_RV get(void *module, CK_UTF8CHAR_PTR name, int major, int minor,
                 CK_FLAGS flags, CK_INTERFACE_PTR_PTR it) {
  CK_C_GetInterface f = (CK_C_GetInterface)dlsym(module, "C_GetInterface");
  CK_VERSION version = {(CK_BYTE)major, (CK_BYTE)minor};
  *it = (CK_INTERFACE_PTR)1;
  return f(name, major ? &version : NULL, it, flags);
}

static int version(const CK_INTERFACE *it) {
  const CK_VERSION *v = it->pFunctionList;
  return v->major * 100 + v->minor;
}

static void expect_interface(void *module, CK_UTF8CHAR_PTR name, int major,
                             int minor, int want) {
  CK_INTERFACE_PTR it;
  OK(get(module, name, major, minor, 0, &it));
  if (version(it) != want || strcmp((char *)it->pInterfaceName, "PKCS 11") || it->flags)
    wrong("%s %d.%d: version %d, flags %lx", name ? (char *)name : "default", major, minor, version(it), it->flags);
}

static void discovery(void *module) {
  CK_INTERFACE_PTR it;
  expect_interface(module, NULL, 0, 0, 302);
  expect_interface(module, standard, 0, 0, 302);
  expect_interface(module, standard, 3, 2, 302);
  expect_interface(module, standard, 3, 0, 300);
  expect_interface(module, standard, 2, 40, 240);
  expect_interface(module, NULL, 2, 40, 240);
  EXPECT(get(module, standard, 3, 9, 0, &it), CKR_FUNCTION_FAILED);
  EXPECT(get(module, other, 0, 0, 0, &it), CKR_FUNCTION_FAILED);
  CHECK(it == NULL);
  /* Children of fork begin afresh, which is not what this flag promises. */
  EXPECT(get(module, standard, 0, 0, CKF_INTERFACE_FORK_SAFE, &it), CKR_FUNCTION_FAILED);

  CK_C_GetInterfaceList all = (CK_C_GetInterfaceList)dlsym(module, "C_GetInterfaceList");
  CK_INTERFACE list[4] = {{0}};
  CK_ULONG n = 0;
  OK(all(NULL, &n));
  CHECK(n == 3);
  n = 2;
  EXPECT(all(list, &n), CKR_BUFFER_TOO_SMALL);
  CHECK(n == 3 && list[0].pFunctionList == NULL);
  n = 4;
  OK(all(list, &n));
  CHECK(n == 3);
  CHECK(version(&list[0]) == 302 && version(&list[1]) == 300 && version(&list[2]) == 240);
  EXPECT(all(list, NULL), CKR_ARGUMENTS_BAD);
  EXPECT(((CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList"))(NULL), CKR_ARGUMENTS_BAD);
  CHECK(functions(module)->version.major == 2 && functions(module)->version.minor == 40);
}

/* The lists agree on every function, and are complete. */
static void lists_agree(void *module) {
  CK_INTERFACE_PTR it;
  OK(get(module, standard, 3, 2, 0, &it));
  newest = it->pFunctionList;
  CK_FUNCTION_LIST_3_0_PTR middle;
  OK(get(module, standard, 3, 0, 0, &it));
  middle = it->pFunctionList;
  CK_FUNCTION_LIST_PTR oldest;
  OK(get(module, standard, 2, 40, 0, &it));
  oldest = it->pFunctionList;
  CHECK(oldest == functions(module));
#define IN_ALL(name, params, args) CHECK(newest->name && newest->name == oldest->name && newest->name == middle->name);
#define IN_TWO(name, params, args) CHECK(newest->name && newest->name == middle->name);
#define IN_ONE(name, params, args) CHECK(newest->name);
  CK_FUNCTIONS_2_40(IN_ALL)
  CK_FUNCTIONS_3_0(IN_TWO)
  CK_FUNCTIONS_3_2(IN_ONE)
}

static void life(CK_RV (*initialize)(CK_VOID_PTR), CK_RV (*info)(CK_INFO_PTR), CK_RV (*finalize)(CK_VOID_PTR)) {
  CK_INFO i;
  EXPECT(info(&i), CKR_CRYPTOKI_NOT_INITIALIZED);
  OK(initialize(NULL));
  EXPECT(initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
  OK(info(&i));
  CHECK(i.cryptokiVersion.major == 3);
  CHECK(i.manufacturerID[31] == ' ' && i.libraryDescription[31] == ' ');
  EXPECT(finalize(&i), CKR_ARGUMENTS_BAD);
  OK(finalize(NULL));
}

static void *wait_for_event(void *result) {
  CK_SLOT_ID slot;
  *(CK_RV *)result = newest->C_WaitForSlotEvent(0, &slot, NULL);
  return NULL;
}

/* The end of the library is the end of waiting. */
static void finalize_while_waiting(void) {
  pthread_t t;
  CK_RV result;
  OK(newest->C_Initialize(NULL));
  CHECK(!pthread_create(&t, NULL, wait_for_event, &result));
  OK(newest->C_Finalize(NULL));
  pthread_join(t, NULL);
  EXPECT(result, CKR_CRYPTOKI_NOT_INITIALIZED);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  alarm(60);
  void *module = load(argv[1], RTLD_LOCAL);
  discovery(module);
  lists_agree(module);

  CK_INTERFACE_PTR it;
  CK_FUNCTION_LIST_PTR f = functions(module);
  life(f->C_Initialize, f->C_GetInfo, f->C_Finalize);
  OK(get(module, standard, 3, 0, 0, &it));
  CK_FUNCTION_LIST_3_0_PTR f30 = it->pFunctionList;
  life(f30->C_Initialize, f30->C_GetInfo, f30->C_Finalize);
  life(newest->C_Initialize, newest->C_GetInfo, newest->C_Finalize);

  EXPECT(newest->C_AsyncJoin(1, NULL, 0, NULL, 0), CKR_CRYPTOKI_NOT_INITIALIZED);
  OK(newest->C_Initialize(NULL));
  EXPECT(newest->C_GetFunctionStatus(1), CKR_FUNCTION_NOT_PARALLEL);
  EXPECT(newest->C_CancelFunction(1), CKR_FUNCTION_NOT_PARALLEL);
  discovery(module);
  OK(newest->C_Finalize(NULL));
  for (int i = 0; i < 20; i++) finalize_while_waiting();
  return failures > 0;
}
