/*
 * Functions that applications may look up and never need here: ABSENT(name).
 */
ABSENT(CA_CreateCapabilityUpdate)
