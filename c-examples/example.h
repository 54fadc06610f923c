/*
 * example.h: what every program here needs before it can do anything: load a
 * module, name its errors, find a token and log in.
 *
 *   PKCS11_PIN=... program MODULE [TOKEN-LABEL]
 *
 * MODULE is the path of a PKCS#11 module. Without a label, or with "-" for it,
 * the first token serves that has been initialised. The PIN is not an argument:
 * everybody on a machine can read the arguments of every process, and shells
 * write them into their history. The environment of a process is for its user
 * and for root. Programs exit with 0, with 1 when something failed, and with 2
 * when they were called wrongly.
 *
 * Section numbers in these programs are those of PKCS#11 3.1.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <dlfcn.h>
#include <pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* Every function of the module is called through this list. */
static CK_FUNCTION_LIST_PTR p11;

/* What dlopen returned, for programs that look for more than that list. */
static void *module;

/* The codes that the programs here, and people who change them, come across. */
static inline const char *rv_name(CK_RV rv) {
	static const struct {
		CK_RV rv;
		const char *name;
	} names[] = {
#define NAME(code) {code, #code}
		NAME(CKR_OK), NAME(CKR_HOST_MEMORY), NAME(CKR_SLOT_ID_INVALID), NAME(CKR_GENERAL_ERROR),
		NAME(CKR_FUNCTION_FAILED), NAME(CKR_ARGUMENTS_BAD), NAME(CKR_ATTRIBUTE_READ_ONLY),
		NAME(CKR_ATTRIBUTE_SENSITIVE), NAME(CKR_ATTRIBUTE_TYPE_INVALID), NAME(CKR_ATTRIBUTE_VALUE_INVALID),
		NAME(CKR_ACTION_PROHIBITED), NAME(CKR_DATA_INVALID), NAME(CKR_DATA_LEN_RANGE), NAME(CKR_DEVICE_ERROR),
		NAME(CKR_ENCRYPTED_DATA_INVALID), NAME(CKR_ENCRYPTED_DATA_LEN_RANGE), NAME(CKR_AEAD_DECRYPT_FAILED),
		NAME(CKR_FUNCTION_NOT_SUPPORTED), NAME(CKR_KEY_HANDLE_INVALID), NAME(CKR_KEY_SIZE_RANGE),
		NAME(CKR_KEY_TYPE_INCONSISTENT), NAME(CKR_KEY_FUNCTION_NOT_PERMITTED), NAME(CKR_KEY_NOT_WRAPPABLE),
		NAME(CKR_KEY_UNEXTRACTABLE), NAME(CKR_MECHANISM_INVALID), NAME(CKR_MECHANISM_PARAM_INVALID),
		NAME(CKR_OBJECT_HANDLE_INVALID), NAME(CKR_OPERATION_ACTIVE), NAME(CKR_OPERATION_NOT_INITIALIZED),
		NAME(CKR_PIN_INCORRECT), NAME(CKR_PIN_LEN_RANGE), NAME(CKR_PIN_LOCKED), NAME(CKR_SESSION_COUNT),
		NAME(CKR_SESSION_HANDLE_INVALID), NAME(CKR_SESSION_READ_ONLY), NAME(CKR_SIGNATURE_INVALID),
		NAME(CKR_SIGNATURE_LEN_RANGE), NAME(CKR_TEMPLATE_INCOMPLETE), NAME(CKR_TEMPLATE_INCONSISTENT),
		NAME(CKR_TOKEN_NOT_PRESENT), NAME(CKR_TOKEN_NOT_RECOGNIZED), NAME(CKR_USER_ALREADY_LOGGED_IN),
		NAME(CKR_USER_NOT_LOGGED_IN), NAME(CKR_USER_PIN_NOT_INITIALIZED), NAME(CKR_WRAPPED_KEY_INVALID),
		NAME(CKR_WRAPPED_KEY_LEN_RANGE), NAME(CKR_CURVE_NOT_SUPPORTED),
		NAME(CKR_BUFFER_TOO_SMALL), NAME(CKR_CRYPTOKI_NOT_INITIALIZED), NAME(CKR_CRYPTOKI_ALREADY_INITIALIZED),
#undef NAME
	};
	for (size_t i = 0; i < LENGTH(names); i++)
		if (names[i].rv == rv)
			return names[i].name;
	return "another code";
}

/* fail ends the program. That drops all sessions and with them the login and
   every object that has CKA_TOKEN false, as if C_Finalize had been called. */
static inline void fail(const char *what) {
	fprintf(stderr, "%s\n", what);
	exit(1);
}

/* check ends the program when a call failed. */
static inline void check(CK_RV rv, const char *call) {
	if (rv == CKR_OK)
		return;
	fprintf(stderr, "%s: %s (0x%lx)\n", call, rv_name(rv), (unsigned long)rv);
	exit(1);
}

/*
 * initialize begins this process's use of the module (section 5.4.1). It is
 * told that it may use locks of the operating system: without that, only one
 * thread could call it. CKR_CRYPTOKI_ALREADY_INITIALIZED is no error for a
 * library within a program, which may not be the first to come.
 */
static inline void initialize(void) {
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	check(p11->C_Initialize(&args), "C_Initialize");
}

/*
 * load opens a module and initialises it. C_GetFunctionList is the one name
 * to look up: it returns the list of all functions (section 5.4.4). RTLD_LOCAL
 * keeps two modules in one program apart, for their functions have the same names.
 */
static inline void load(const char *path) {
	module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (module == NULL)
		fail(dlerror());
	CK_C_GetFunctionList get_list;
	*(void **)&get_list = dlsym(module, "C_GetFunctionList");
	if (get_list == NULL)
		fail("this library has no C_GetFunctionList, so it is no PKCS#11 module");
	check(get_list(&p11), "C_GetFunctionList");
	initialize();
}

/*
 * find_slot looks for the token with a label, which fills 32 bytes with spaces
 * behind it (section 3.2). Do not keep the number of a slot in a configuration:
 * many modules number them anew when a token is added.
 */
static inline CK_SLOT_ID find_slot(const char *label) {
	int any = strcmp(label, "-") == 0;
	CK_UTF8CHAR padded[32];
	memset(padded, ' ', sizeof padded);
	memcpy(padded, label, strlen(label) < sizeof padded ? strlen(label) : sizeof padded);

	CK_SLOT_ID slots[64];
	CK_ULONG count = LENGTH(slots);
	check(p11->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
	for (CK_ULONG i = 0; i < count; i++) {
		CK_TOKEN_INFO info;
		check(p11->C_GetTokenInfo(slots[i], &info), "C_GetTokenInfo");
		/* What is not initialised has no keys, no PIN and no label. */
		if (!(info.flags & CKF_TOKEN_INITIALIZED))
			continue;
		if (any || memcmp(info.label, padded, sizeof padded) == 0)
			return slots[i];
	}
	fail(any ? "no token is initialised; the README says how to do that"
	         : "no token has this label; list-slots shows them");
	return 0;
}

/* open_session opens one that may also make objects. CKF_SERIAL_SESSION has to
   be there for old times' sake (section 5.6.1). */
static inline CK_SESSION_HANDLE open_session(CK_SLOT_ID slot) {
	CK_SESSION_HANDLE session;
	check(p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), "C_OpenSession");
	return session;
}

static inline void usage(const char *text) {
	fprintf(stderr, "usage: %s\n", text);
	exit(2);
}

/* token_label is the second argument, which may be left out. */
static inline const char *token_label(int argc, char **argv) {
	return argc > 2 ? argv[2] : "-";
}

/*
 * login makes the token's private objects visible, in all sessions of this
 * process with the token, and in no other process (section 5.6.8). A program
 * must not try again with a PIN that was refused: tokens count the tries, and
 * after a few of them they lock the PIN (CKR_PIN_LOCKED).
 */
static inline void login(CK_SESSION_HANDLE session) {
	char *pin = getenv("PKCS11_PIN");
	check(p11->C_Login(session, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin)), "C_Login");
}

/* start does all of the above for the arguments of main. */
static inline CK_SESSION_HANDLE start(int argc, char **argv) {
	if (argc < 2 || argc > 3 || getenv("PKCS11_PIN") == NULL)
		usage("PROGRAM MODULE [TOKEN-LABEL], with the PIN in the environment variable PKCS11_PIN");
	load(argv[1]);
	CK_SESSION_HANDLE session = open_session(find_slot(token_label(argc, argv)));
	login(session);
	return session;
}

/*
 * find_key looks for a key by its label, its CKA_ID or whatever attribute is
 * given. It returns CK_INVALID_HANDLE if there is none. Labels need not be
 * unique: a program with more to lose asks for two and refuses if it gets them.
 */
static inline CK_OBJECT_HANDLE find_key(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, CK_ATTRIBUTE attribute) {
	CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, attribute};
	CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
	CK_ULONG count;
	check(p11->C_FindObjectsInit(session, template, LENGTH(template)), "C_FindObjectsInit");
	check(p11->C_FindObjects(session, &key, 1, &count), "C_FindObjects");
	check(p11->C_FindObjectsFinal(session), "C_FindObjectsFinal");
	return count == 1 ? key : CK_INVALID_HANDLE;
}

/* finish logs out, which drops the session's objects, and ends the module's work. */
static inline void finish(CK_SESSION_HANDLE session) {
	check(p11->C_Logout(session), "C_Logout");
	check(p11->C_CloseSession(session), "C_CloseSession");
	check(p11->C_Finalize(NULL), "C_Finalize");
}

static inline void print_hex(const char *what, const CK_BYTE *bytes, CK_ULONG length) {
	printf("%s: ", what);
	for (CK_ULONG i = 0; i < length; i++)
		printf("%02x", bytes[i]);
	printf("\n");
}

#endif
