package ck

//go:generate go run ./gen
