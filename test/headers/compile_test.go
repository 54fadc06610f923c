package headers

import "testing"

// warnings are what a careful includer compiles with.
var warnings = []string{"-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wundef", "-Werror"}

// macros is what the standard asks of the includer, as older programs do it.
const macros = `
#define CK_PTR *
#define CK_DEFINE_FUNCTION(returnType, name) returnType name
#define CK_DECLARE_FUNCTION(returnType, name) returnType name
#define CK_DECLARE_FUNCTION_POINTER(returnType, name) returnType (* name)
#define CK_CALLBACK_FUNCTION(returnType, name) returnType (* name)
#define NULL_PTR 0
`

// use is a little of everything that a program does with the interface.
const use = `
static CK_RV notify(CK_SESSION_HANDLE session, CK_NOTIFICATION event, CK_VOID_PTR application) {
  (void)session; (void)event; (void)application;
  return CKR_OK;
}
int use(CK_FUNCTION_LIST_PTR list, CK_FUNCTION_LIST_3_0_PTR list30, CK_FUNCTION_LIST_3_2_PTR list32);
int use(CK_FUNCTION_LIST_PTR list, CK_FUNCTION_LIST_3_0_PTR list30, CK_FUNCTION_LIST_3_2_PTR list32) {
  CK_BBOOL yes = CK_TRUE;
  CK_OBJECT_CLASS keyClass = CKO_SECRET_KEY;
  CK_ATTRIBUTE attributes[] = {
    {CKA_CLASS, &keyClass, sizeof(keyClass)},
    {CKA_TOKEN, &yes, sizeof(yes)},
  };
  CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL_PTR, 0};
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  CK_C_GetFunctionList get = C_GetFunctionList;
  CK_RV rv = get(&list);
  if (rv == CKR_OK) rv = list->C_OpenSession(0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL_PTR, notify, &session);
  if (rv == CKR_OK) rv = C_GenerateKey(session, &mechanism, attributes, 2, &key);
  if (rv == CKR_OK) rv = list30->C_SessionCancel(session, CKF_ENCRYPT);
  if (rv == CKR_OK) rv = list32->C_EncapsulateKey(session, &mechanism, key, attributes, 2, NULL_PTR, NULL_PTR, &key);
  return rv == CKR_OK;
}
`

// stubs makes definitions and a table from the rows, as the library does.
const stubs = `
#define STUB(name, params, args) CK_RV forward_##name params; CK_RV name params { return forward_##name args; }
CK_FUNCTIONS_ALL(STUB)
#define ENTRY(name, params, args) name,
static CK_FUNCTION_LIST list = {{2, 40}, CK_FUNCTIONS_2_40(ENTRY)};
static CK_FUNCTION_LIST_3_0 list30 = {{3, 0}, CK_FUNCTIONS_2_40(ENTRY) CK_FUNCTIONS_3_0(ENTRY)};
static CK_FUNCTION_LIST_3_2 list32 = {{3, 2}, CK_FUNCTIONS_ALL(ENTRY)};
CK_VOID_PTR tables[] = {&list, &list30, &list32};
`

func TestCompile(t *testing.T) {
	sources := map[string]string{
		"pkcs11.h":                   "#include <pkcs11.h>\n",
		"perilune.h":                 "#include <perilune.h>\n",
		"pkcs11.h, perilune.h":       "#include <pkcs11.h>\n#include <perilune.h>\n",
		"perilune.h, pkcs11.h":       "#include <perilune.h>\n#include <pkcs11.h>\n",
		"twice":                      "#include <pkcs11.h>\n#include <pkcs11.h>\n",
		"use":                        "#include <pkcs11.h>\n" + use,
		"own macros":                 macros + "#include <pkcs11.h>\n",
		"own macros, use":            macros + "#include <pkcs11.h>\n" + use,
		"own macros, vendor header":  macros + "#include <perilune.h>\n" + use,
		"own CK_PTR only":            "#define CK_PTR *\n#include <pkcs11.h>\n" + use,
		"without TRUE and FALSE":     "#define CK_DISABLE_TRUE_FALSE\n#include <pkcs11.h>\n#ifdef TRUE\n#error TRUE\n#endif\n" + use,
		"TRUE and FALSE taken":       "#define TRUE (!0)\n#define FALSE (!1)\n#include <pkcs11.h>\n" + use,
		"module":                     "#define CRYPTOKI_EXPORTS\n#include <pkcs11.h>\n" + stubs,
		"module, packed as Windows":  "#define CRYPTOKI_EXPORTS\n#define CRYPTOKI_FORCE_WIN32\n#include <pkcs11.h>\n" + stubs,
		"after the standard library": "#include <stdlib.h>\n#include <stdio.h>\n#include <unistd.h>\n#include <pthread.h>\n#include <pkcs11.h>\n" + use,
	}
	standards := map[string][]string{
		"c":   {"c99", "c11"},
		"c++": {"c++11", "c++17"},
	}
	for language, list := range standards {
		for _, standard := range list {
			for name, source := range sources {
				t.Run(standard+"/"+name, func(t *testing.T) {
					flags := append([]string{"-std=" + standard, "-I", includeDir}, warnings...)
					if _, err := compile(t, language, source, flags...); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}
