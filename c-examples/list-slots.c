/*
 * list-slots MODULE: the module, its slots, the tokens in them and what the
 * tokens can do. It needs no login (sections 5.4.3 and 5.5.1 to 5.5.6).
 *
 * A slot is a place where a token can be: a reader for cards, a partition of an
 * HSM, a number in a software token. It can be empty, and the token in it can
 * be one that nobody has initialised yet, without a label and a PIN.
 */
#include "example.h"

/* Texts in the structures of PKCS#11 end with spaces, not with a zero. */
static int text_length(const CK_UTF8CHAR *text, int size) {
	while (size > 0 && text[size - 1] == ' ')
		size--;
	return size;
}

#define PRINT_TEXT(what, field) printf("%s: %.*s\n", what, text_length(field, sizeof(field)), (const char *)(field))

static void print_flags(CK_FLAGS flags) {
	static const struct {
		CK_FLAGS flag;
		const char *meaning;
	} meanings[] = {
		{CKF_TOKEN_INITIALIZED, "initialised"},
		{CKF_USER_PIN_INITIALIZED, "user PIN set"},
		{CKF_LOGIN_REQUIRED, "login required"},
		{CKF_RNG, "random numbers"},
		{CKF_WRITE_PROTECTED, "write protected"},
		{CKF_USER_PIN_COUNT_LOW, "wrong user PINs were tried"},
		{CKF_USER_PIN_FINAL_TRY, "one try left for the user PIN"},
		{CKF_USER_PIN_LOCKED, "user PIN locked"},
	};
	const char *separator = "  flags: ";
	for (size_t i = 0; i < LENGTH(meanings); i++)
		if (flags & meanings[i].flag) {
			printf("%s%s", separator, meanings[i].meaning);
			separator = ", ";
		}
	printf("\n");
}

static void print_mechanisms(CK_SLOT_ID slot) {
	/* Lists of unknown length take two calls: the first, with no buffer,
	   asks for the length, and the second fetches the list (section 5.2). */
	CK_ULONG count, generate = 0, sign = 0, encrypt = 0, wrap = 0, derive = 0;
	check(p11->C_GetMechanismList(slot, NULL, &count), "C_GetMechanismList");
	CK_MECHANISM_TYPE *mechanisms = calloc(count + 1, sizeof *mechanisms); /* never nothing */
	if (mechanisms == NULL)
		fail("out of memory");
	check(p11->C_GetMechanismList(slot, mechanisms, &count), "C_GetMechanismList");
	for (CK_ULONG i = 0; i < count; i++) {
		/* The flags say which functions take a mechanism: a token may
		   know CKM_ECDSA for C_Verify and not for C_Sign. */
		CK_MECHANISM_INFO info;
		check(p11->C_GetMechanismInfo(slot, mechanisms[i], &info), "C_GetMechanismInfo");
		generate += (info.flags & (CKF_GENERATE | CKF_GENERATE_KEY_PAIR)) != 0;
		sign += (info.flags & CKF_SIGN) != 0;
		encrypt += (info.flags & CKF_ENCRYPT) != 0;
		wrap += (info.flags & CKF_WRAP) != 0;
		derive += (info.flags & CKF_DERIVE) != 0;
	}
	free(mechanisms);
	printf("  mechanisms: %lu, of which %lu generate, %lu sign, %lu encrypt, %lu wrap, %lu derive\n",
	       count, generate, sign, encrypt, wrap, derive);
}

int main(int argc, char **argv) {
	if (argc != 2)
		usage("list-slots MODULE");
	load(argv[1]);

	CK_INFO info;
	check(p11->C_GetInfo(&info), "C_GetInfo");
	PRINT_TEXT("module", info.libraryDescription);
	PRINT_TEXT("manufacturer", info.manufacturerID);
	printf("PKCS#11 version: %d.%d\n", info.cryptokiVersion.major, info.cryptokiVersion.minor);

	/* CK_TRUE leaves out empty slots. The call without a buffer is also the
	   moment when a module looks for slots that were added since; if one comes
	   between the two calls, the second answers CKR_BUFFER_TOO_SMALL. */
	CK_ULONG count;
	check(p11->C_GetSlotList(CK_TRUE, NULL, &count), "C_GetSlotList");
	CK_SLOT_ID *slots = calloc(count + 1, sizeof *slots);
	if (slots == NULL)
		fail("out of memory");
	check(p11->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
	for (CK_ULONG i = 0; i < count; i++) {
		CK_TOKEN_INFO token;
		check(p11->C_GetTokenInfo(slots[i], &token), "C_GetTokenInfo");
		printf("slot %lu\n", (unsigned long)slots[i]);
		PRINT_TEXT("  token", token.label);
		PRINT_TEXT("  model", token.model);
		PRINT_TEXT("  serial number", token.serialNumber);
		print_flags(token.flags);
		print_mechanisms(slots[i]);
	}
	free(slots);
	check(p11->C_Finalize(NULL), "C_Finalize");
	return 0;
}
