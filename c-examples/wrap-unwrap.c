/*
 * wrap-unwrap MODULE [TOKEN-LABEL]: takes a key out of the token encrypted under
 * another (wrapped), and brings it back in. That is how keys travel between
 * tokens without being seen. Sections: 5.18.3 and 5.18.4, 6.16 AES key wrap
 * (which is RFC 3394).
 */
#include "example.h"

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static CK_OBJECT_HANDLE generate(CK_SESSION_HANDLE session, CK_ATTRIBUTE_TYPE usage, CK_ATTRIBUTE_TYPE reverse, CK_BBOOL extractable) {
	CK_ULONG bytes = 32;
	CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
	CK_ATTRIBUTE template[] = {
		{CKA_TOKEN, &no, sizeof no},
		{CKA_SENSITIVE, &yes, sizeof yes},
		{CKA_EXTRACTABLE, &extractable, sizeof extractable},
		{CKA_VALUE_LEN, &bytes, sizeof bytes},
		{usage, &yes, sizeof yes},
		{reverse, &yes, sizeof yes},
	};
	CK_OBJECT_HANDLE key;
	check(p11->C_GenerateKey(session, &mechanism, template, LENGTH(template), &key), "C_GenerateKey");
	return key;
}

/* encrypt encrypts one block, to compare keys whose values nobody can see. */
static void encrypt(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, CK_BYTE block[16]) {
	CK_BYTE zeros[16] = {0};
	CK_ULONG length = sizeof zeros;
	CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
	check(p11->C_EncryptInit(session, &ecb, key), "C_EncryptInit");
	check(p11->C_Encrypt(session, zeros, sizeof zeros, block, &length), "C_Encrypt");
}

int main(int argc, char **argv) {
	CK_SESSION_HANDLE session = start(argc, argv);
	/* A wrapping key has its own permissions: it cannot decrypt, or it would
	   give away what it wrapped. The tokens at both ends of a journey have it,
	   so a program finds it by the label; here one is made if there is none. */
	CK_ATTRIBUTE label = {CKA_LABEL, "example-wrap", 12};
	CK_OBJECT_HANDLE wrapping = find_key(session, CKO_SECRET_KEY, label);
	if (wrapping == CK_INVALID_HANDLE)
		wrapping = generate(session, CKA_WRAP, CKA_UNWRAP, CK_FALSE);
	CK_OBJECT_HANDLE key = generate(session, CKA_ENCRYPT, CKA_DECRYPT, CK_TRUE);

	CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP, NULL, 0};
	CK_BYTE wrapped[64];
	CK_ULONG length = sizeof wrapped;
	check(p11->C_WrapKey(session, &mechanism, wrapping, key, wrapped, &length), "C_WrapKey");
	print_hex("wrapped key", wrapped, length);

	/* The wrapped key holds no attributes, so unwrapping takes a template. Say
	   all that matters in it: what is left out has defaults, and they differ
	   between modules. No CKA_VALUE_LEN here: the length is that of what comes. */
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_ATTRIBUTE template[] = {
		{CKA_CLASS, &class, sizeof class},
		{CKA_KEY_TYPE, &type, sizeof type},
		{CKA_TOKEN, &no, sizeof no},
		{CKA_SENSITIVE, &yes, sizeof yes},
		{CKA_EXTRACTABLE, &no, sizeof no},
		{CKA_ENCRYPT, &yes, sizeof yes},
	};
	CK_OBJECT_HANDLE again;
	check(p11->C_UnwrapKey(session, &mechanism, wrapping, wrapped, length, template, LENGTH(template), &again), "C_UnwrapKey");

	CK_BYTE before[16], after[16];
	encrypt(session, key, before);
	encrypt(session, again, after);
	if (memcmp(before, after, sizeof before) != 0)
		fail("another key comes back");
	printf("the key is back\n");
	print_hex("zeros under it", after, sizeof after);

	/* A key made with CKA_EXTRACTABLE false stays where it is, for ever. */
	CK_OBJECT_HANDLE staying = generate(session, CKA_ENCRYPT, CKA_DECRYPT, CK_FALSE);
	length = sizeof wrapped;
	CK_RV rv = p11->C_WrapKey(session, &mechanism, wrapping, staying, wrapped, &length);
	if (rv != CKR_KEY_UNEXTRACTABLE)
		fail("a key that must not leave was wrapped, or refused for another reason");
	printf("a key that must stay: %s\n", rv_name(rv));

	/* And a wrapped key that was changed is noticed. */
	length = 40;
	check(p11->C_WrapKey(session, &mechanism, wrapping, key, wrapped, &length), "C_WrapKey");
	wrapped[5] ^= 1;
	rv = p11->C_UnwrapKey(session, &mechanism, wrapping, wrapped, length, template, LENGTH(template), &again);
	if (rv == CKR_OK)
		fail("a changed key was unwrapped");
	printf("a changed key: %s\n", rv_name(rv));

	finish(session);
	return 0;
}
