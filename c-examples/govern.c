/*
 * govern MODULE [TOKEN-LABEL]: how the token is governed, by the functions of
 * perilune.h: the state of its roles, its policies and storage, the identity of
 * a key that outlives every handle, why the token refused a call, and a login
 * that outlives its session.
 *
 * Modules of network HSMs of the Luna-compatible kind have these functions too,
 * but for CA_ExplainRefusal.
 */
#include "example.h"

#include <perilune.h>

static CK_CA_FUNCTION_LIST_PTR ca;

/* The functions are found like C_GetFunctionList. Devices differ in the order
   of this list, so for them look up each function by its own name. */
static void find_functions(void) {
	CK_CA_GetFunctionList get_list;
	*(void **)&get_list = dlsym(module, "CA_GetFunctionList");
	if (get_list == NULL)
		fail("this module has no CA_GetFunctionList");
	check(get_list(&ca), "CA_GetFunctionList");
}

static void show_role(CK_SLOT_ID slot, const char *name, CK_USER_TYPE user) {
	CA_ROLE_STATE state;
	check(ca->CA_RoleStateGet(slot, user, &state), "CA_RoleStateGet");
	printf("%s: %s, %d wrong PINs more lock it%s\n", name,
	       state.flags & CAF_ROLE_STATE_INITIALIZED ? "has a PIN" : "has no PIN", state.loginAttemptsLeft,
	       state.flags & CAF_ROLE_STATE_PIN_CHANGE ? ", must change its PIN" : "");
}

static void show_policy(CK_SLOT_ID slot, CK_ULONG id) {
	CK_ULONG value, bits, destructive, restricted, length;
	CK_UTF8CHAR text[100];
	length = sizeof text;
	check(ca->CA_GetContainerPolicySetting(slot, 0, id, &value), "CA_GetContainerPolicySetting");
	check(ca->CA_GetConfigurationElementDescription(slot, CK_TRUE, CK_FALSE, id, &bits, &destructive, &restricted,
	                                                text, &length),
	      "CA_GetConfigurationElementDescription");
	printf("policy %lu: %.*s: %lu%s\n", id, (int)length, (char *)text, value,
	       destructive & CA_DESTRUCTIVE_OFF_TO_ON ? " (switching it on erases the objects)" : "");
}

static CK_OBJECT_HANDLE make_key(CK_SESSION_HANDLE session) {
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ULONG length = 32;
	CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
	CK_ATTRIBUTE template[] = {
		{CKA_TOKEN, &yes, sizeof yes},
		{CKA_VALUE_LEN, &length, sizeof length},
		{CKA_ENCRYPT, &yes, sizeof yes},
		{CKA_EXTRACTABLE, &no, sizeof no},
	};
	CK_OBJECT_HANDLE key;
	check(p11->C_GenerateKey(session, &mechanism, template, LENGTH(template), &key), "C_GenerateKey");
	return key;
}

/* A call that is refused, and what the module has to say about that. */
static void explain_refusal(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key) {
	CK_MECHANISM cmac = {CKM_AES_CMAC, NULL, 0};
	CK_BBOOL no = CK_FALSE;
	CK_ATTRIBUTE change = {CKA_SIGN, &no, sizeof no};
	CK_RV rv = p11->C_SetAttributeValue(session, key, &change, 1);
	check(rv, "C_SetAttributeValue");
	rv = p11->C_SignInit(session, &cmac, key);
	printf("signing with a key that may not: %s\n", rv_name(rv));

	CK_UTF8CHAR text[1000];
	CK_ULONG length = sizeof text;
	check(ca->CA_ExplainRefusal(session, text, &length), "CA_ExplainRefusal");
	printf("%.*s", (int)length, (char *)text);
}

int main(int argc, char **argv) {
	CK_APPLICATION_ID id = {"one application"};
	CK_SESSION_HANDLE session = start(argc, argv);
	CK_SESSION_INFO info;
	find_functions();
	check(p11->C_GetSessionInfo(session, &info), "C_GetSessionInfo");

	show_role(info.slotID, "Crypto Officer", CKU_CRYPTO_OFFICER);
	show_role(info.slotID, "Crypto User", CKU_CRYPTO_USER);
	show_policy(info.slotID, 18);

	CK_ULONG overhead, total, used, unused, objects, after;
	check(ca->CA_GetTokenStorageInformation(info.slotID, &overhead, &total, &used, &unused, &objects),
	      "CA_GetTokenStorageInformation");
	CK_OBJECT_HANDLE key = make_key(session);
	check(ca->CA_GetTokenStorageInformation(info.slotID, NULL, NULL, &after, NULL, &objects),
	      "CA_GetTokenStorageInformation");
	printf("the key takes %lu bytes of the token's storage\n", after - used);

	/* The same on every HSM that the key is cloned or restored to. */
	CK_BYTE uid[12];
	CK_ULONG type, handle;
	check(ca->CA_GetTokenObjectUID(info.slotID, CA_OBJECT_TYPE_CRYPTOKI, key, uid), "CA_GetTokenObjectUID");
	check(ca->CA_GetTokenObjectHandle(info.slotID, uid, &type, &handle), "CA_GetTokenObjectHandle");
	printf("the key is found by its identity: %s\n", handle == key ? "yes" : "no");

	explain_refusal(session, key);
	CK_ULONG index;
	check(ca->CA_DestroyMultipleObjects(session, 1, &key, &index), "CA_DestroyMultipleObjects");

	/* While an application id is open, the login made under it stays, also for
	   other processes that set the same id. */
	check(p11->C_Logout(session), "C_Logout");
	check(ca->CA_SetApplicationIDV2(&id), "CA_SetApplicationIDV2");
	check(ca->CA_OpenApplicationIDV2(info.slotID, &id), "CA_OpenApplicationIDV2");
	login(session);
	check(p11->C_CloseSession(session), "C_CloseSession");
	session = open_session(info.slotID);
	check(p11->C_GetSessionInfo(session, &info), "C_GetSessionInfo");
	printf("logged in without a login: %s\n", info.state == CKS_RW_USER_FUNCTIONS ? "yes" : "no");
	check(ca->CA_CloseApplicationIDV2(info.slotID, &id), "CA_CloseApplicationIDV2");
	check(p11->C_Finalize(NULL), "C_Finalize");
	return 0;
}
