// Package codec owns the translation between the nouns of api/model and their wire form in api/gen.
//
// It is pure. ToProto never fails; FromProto treats its input as coming from outside: it checks sizes, times and names and never
// panics. Whether a value makes sense in the federation is judged elsewhere.
package codec
