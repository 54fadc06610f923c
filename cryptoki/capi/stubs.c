/*
 * The functions of the library as C programs see them. Each is made from its
 * row in pkcs11.h: it packs its arguments into words and enters Go once. The
 * function lists point to the same code as the exported functions do, but not
 * by their names, which another library in the process might have taken.
 */
#define CRYPTOKI_EXPORTS 1

#include "stubs.h"

#include <string.h>

#include "_cgo_export.h"

/* WORDS(a, b, ...) casts each of up to twelve arguments to a word; none is 0. */
#define W1(a) (uintptr_t)(a + 0)
#define W2(a, ...) W1(a), W1(__VA_ARGS__)
#define W3(a, ...) W1(a), W2(__VA_ARGS__)
#define W4(a, ...) W1(a), W3(__VA_ARGS__)
#define W5(a, ...) W1(a), W4(__VA_ARGS__)
#define W6(a, ...) W1(a), W5(__VA_ARGS__)
#define W7(a, ...) W1(a), W6(__VA_ARGS__)
#define W8(a, ...) W1(a), W7(__VA_ARGS__)
#define W9(a, ...) W1(a), W8(__VA_ARGS__)
#define W10(a, ...) W1(a), W9(__VA_ARGS__)
#define W11(a, ...) W1(a), W10(__VA_ARGS__)
#define W12(a, ...) W1(a), W11(__VA_ARGS__)
#define PICK(a, b, c, d, e, f, g, h, i, j, k, l, w, ...) w
#define WORDS(...)                                                             \
  PICK(__VA_ARGS__, W12, W11, W10, W9, W8, W7, W6, W5, W4, W3, W2, W1, 0)      \
  (__VA_ARGS__)

/* The functions that tell what there is to call need no Go and no fork guard. */
static inline int is_discovery(int f) {
  return f == F_C_GetFunctionList || f == F_C_GetInterfaceList ||
         f == F_C_GetInterface || f == F_CA_GetFunctionList;
}

static CK_RV discover(int f, const uintptr_t *words);

#define STUB_OF(list, name, params, args)                                      \
  static CK_RV stub_##name params {                                            \
    uintptr_t words[] = {WORDS args};                                          \
    if (is_discovery(F_##name)) return discover(F_##name, words);              \
    if (__builtin_expect(perilune_forked(), 0)) {                              \
      const struct perilune_heir *heir =                                       \
          perilune_heir(F_##name == F_C_Initialize);                           \
      if (heir) return heir->list->name args;                                  \
      return F_##name == F_C_Initialize ? CKR_GENERAL_ERROR                    \
                                        : CKR_CRYPTOKI_NOT_INITIALIZED;        \
    }                                                                          \
    return (CK_RV)perilune_enter(F_##name, words);                             \
  }
#define STUB(name, params, args) STUB_OF(standard, name, params, args)
#define VENDOR_STUB(name, params, args) STUB_OF(vendor, name, params, args)
#define EXPORTED(name, params, args)                                           \
  CK_DEFINE_FUNCTION(CK_RV, name) params { return stub_##name args; }
#define MEMBER(name, params, args) .name = stub_##name,

CK_FUNCTIONS_ALL(STUB)
CK_FUNCTIONS_ALL(EXPORTED)
CK_FUNCTIONS_VENDOR(VENDOR_STUB)
CK_FUNCTIONS_VENDOR(EXPORTED)

/* Names that programs may look for, of functions that nothing serves. */
#define ABSENT(name)                                                           \
  CK_DEFINE_FUNCTION(CK_RV, name)(void);                                       \
  CK_DEFINE_FUNCTION(CK_RV, name)(void) { return CKR_FUNCTION_NOT_SUPPORTED; }
#include "absent.h"

static CK_FUNCTION_LIST list_2_40 = {
    .version = {2, 40}, CK_FUNCTIONS_2_40(MEMBER)};

static CK_FUNCTION_LIST_3_0 list_3_0 = {
    .version = {3, 0}, CK_FUNCTIONS_2_40(MEMBER) CK_FUNCTIONS_3_0(MEMBER)};

static CK_FUNCTION_LIST_3_2 list_3_2 = {
    .version = {3, 2}, CK_FUNCTIONS_ALL(MEMBER)};

static CK_CA_FUNCTION_LIST list_vendor = {
    .version = {1, 0}, CK_FUNCTIONS_VENDOR(MEMBER)};

/*
 * The first is the default. None is CKF_INTERFACE_FORK_SAFE: that flag promises
 * that a child process inherits sessions and logins, but ours begins afresh.
 */
static CK_UTF8CHAR standard_name[] = "PKCS 11";
static CK_INTERFACE interfaces[] = {
    {standard_name, &list_3_2, 0},
    {standard_name, &list_3_0, 0},
    {standard_name, &list_2_40, 0},
};
enum { INTERFACES = sizeof interfaces / sizeof interfaces[0] };

static CK_RV get_function_list(CK_FUNCTION_LIST_PTR_PTR list) {
  if (!list) return CKR_ARGUMENTS_BAD;
  *list = &list_2_40;
  return CKR_OK;
}

static CK_RV get_vendor_list(CK_CA_FUNCTION_LIST_PTR_PTR list) {
  if (!list) return CKR_ARGUMENTS_BAD;
  *list = &list_vendor;
  return CKR_OK;
}

static CK_RV get_interface_list(CK_INTERFACE_PTR list, CK_ULONG_PTR count) {
  if (!count) return CKR_ARGUMENTS_BAD;
  CK_ULONG room = *count;
  *count = INTERFACES;
  if (!list) return CKR_OK;
  if (room < INTERFACES) return CKR_BUFFER_TOO_SMALL;
  memcpy(list, interfaces, sizeof interfaces);
  return CKR_OK;
}

/* Null for the name or the version means any; the first that fits is it. */
static CK_RV get_interface(const CK_UTF8CHAR *name, const CK_VERSION *version,
                           CK_INTERFACE_PTR_PTR result, CK_FLAGS flags) {
  if (!result) return CKR_ARGUMENTS_BAD;
  *result = NULL;
  for (int i = 0; i < INTERFACES; i++) {
    const CK_INTERFACE *it = &interfaces[i];
    if (name && strcmp((const char *)name, (const char *)it->pInterfaceName))
      continue;
    if (version && memcmp(version, it->pFunctionList, sizeof *version))
      continue;
    if ((flags & it->flags) != flags) continue;
    *result = &interfaces[i];
    return CKR_OK;
  }
  return CKR_FUNCTION_FAILED;
}

static CK_RV discover(int f, const uintptr_t *words) {
  switch (f) {
    case F_C_GetFunctionList:
      return get_function_list((CK_FUNCTION_LIST_PTR_PTR)words[0]);
    case F_C_GetInterfaceList:
      return get_interface_list((CK_INTERFACE_PTR)words[0],
                                (CK_ULONG_PTR)words[1]);
    case F_CA_GetFunctionList:
      return get_vendor_list((CK_CA_FUNCTION_LIST_PTR_PTR)words[0]);
    default:
      return get_interface((CK_UTF8CHAR_PTR)words[0], (CK_VERSION_PTR)words[1],
                           (CK_INTERFACE_PTR_PTR)words[2], (CK_FLAGS)words[3]);
  }
}
