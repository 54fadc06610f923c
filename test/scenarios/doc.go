// Package scenarios tells stories of operators and programs, each from an empty
// directory to its end, through the built program and library.
package scenarios
