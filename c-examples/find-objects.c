/*
 * find-objects MODULE [TOKEN-LABEL]: makes a few objects, searches for them by
 * their attributes, changes one and takes them away again. Sections: 5.7
 * objects, 4.1 and 4.2 their attributes.
 */
#include "example.h"

static CK_BYTE application[] = "find-objects";

static void create(CK_SESSION_HANDLE session, const char *label, const char *value) {
	CK_BBOOL yes = CK_TRUE;
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_ATTRIBUTE template[] = {
		{CKA_CLASS, &class, sizeof class},
		{CKA_TOKEN, &yes, sizeof yes},     /* it stays when the program ends */
		{CKA_PRIVATE, &yes, sizeof yes},   /* only who logged in can see it */
		{CKA_APPLICATION, application, sizeof application - 1},
		{CKA_LABEL, (CK_VOID_PTR)label, strlen(label)},
		{CKA_VALUE, (CK_VOID_PTR)value, strlen(value)},
	};
	CK_OBJECT_HANDLE object;
	check(p11->C_CreateObject(session, template, LENGTH(template), &object), "C_CreateObject");
}

/* find fetches the handles of the objects that have all these attributes. */
static CK_ULONG find(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG attributes, CK_OBJECT_HANDLE *found, CK_ULONG room) {
	CK_ULONG total = 0, count;
	check(p11->C_FindObjectsInit(session, template, attributes), "C_FindObjectsInit");
	do {
		/* Some at a time, until none is left. Two at a time is to show it. */
		check(p11->C_FindObjects(session, found + total, room - total < 2 ? room - total : 2, &count), "C_FindObjects");
		total += count;
	} while (count > 0 && total < room);
	/* A search is over when it is ended, not when it has found all. Without
	   this the next one gets CKR_OPERATION_ACTIVE. */
	check(p11->C_FindObjectsFinal(session), "C_FindObjectsFinal");
	return total;
}

static void print_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, const char *name) {
	/* First the length, then the value (section 5.7.5). Asked for several
	   attributes, the call fills in all that it can, gives the others the
	   length CK_UNAVAILABLE_INFORMATION, and says CKR_ATTRIBUTE_SENSITIVE or
	   CKR_ATTRIBUTE_TYPE_INVALID: such an answer is of use nevertheless. */
	CK_ATTRIBUTE attribute = {type, NULL, 0};
	check(p11->C_GetAttributeValue(session, object, &attribute, 1), "C_GetAttributeValue");
	attribute.pValue = malloc(attribute.ulValueLen + 1);
	if (attribute.pValue == NULL)
		fail("out of memory");
	check(p11->C_GetAttributeValue(session, object, &attribute, 1), "C_GetAttributeValue");
	printf("  %s: %.*s\n", name, (int)attribute.ulValueLen, (const char *)attribute.pValue);
	free(attribute.pValue);
}

int main(int argc, char **argv) {
	CK_SESSION_HANDLE session = start(argc, argv);
	create(session, "breakfast", "bread");
	create(session, "lunch", "soup");
	create(session, "dinner", "rice");

	/* An empty template finds all that this session may see; without a login
	   those are the public objects, and that looks like a token without keys. */
	CK_OBJECT_CLASS class = CKO_DATA;
	CK_ATTRIBUTE ours[] = {
		{CKA_CLASS, &class, sizeof class},
		{CKA_APPLICATION, application, sizeof application - 1},
	};
	CK_OBJECT_HANDLE objects[16];
	CK_ULONG count = find(session, ours, LENGTH(ours), objects, LENGTH(objects));
	printf("%lu objects of this program\n", count);
	for (CK_ULONG i = 0; i < count; i++) {
		print_attribute(session, objects[i], CKA_LABEL, "label");
		print_attribute(session, objects[i], CKA_VALUE, "value");
	}

	/* More attributes narrow a search. */
	CK_ATTRIBUTE lunch[] = {ours[0], ours[1], {CKA_LABEL, "lunch", 5}};
	if (find(session, lunch, LENGTH(lunch), objects, LENGTH(objects)) != 1)
		fail("lunch is not found, or more than once");
	/* A label can be changed. The value of an object of this class cannot. */
	CK_ATTRIBUTE change = {CKA_LABEL, "supper", 6};
	check(p11->C_SetAttributeValue(session, objects[0], &change, 1), "C_SetAttributeValue");
	printf("changed\n");
	print_attribute(session, objects[0], CKA_LABEL, "label");

	count = find(session, ours, LENGTH(ours), objects, LENGTH(objects));
	for (CK_ULONG i = 0; i < count; i++)
		check(p11->C_DestroyObject(session, objects[i]), "C_DestroyObject");
	printf("%lu objects destroyed, %lu left\n", count, find(session, ours, LENGTH(ours), objects, LENGTH(objects)));

	finish(session);
	return 0;
}
