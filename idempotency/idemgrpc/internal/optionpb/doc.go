// Package optionpb holds declarations of the method options, right and wrong, for
// tests.
package optionpb
