// Package lua composes the checks of several guards into one atomic script.
//
// A guard keeps its shared state in Redis and brings a [Module]: a Lua table of
// functions. A [Script] puts the modules together and runs a group of
// operations in one round trip; each operation stands or falls alone, and
// within one, either every guard applies its part or none does.
//
// A module's text is the body of a function that returns
//
//	{
//	  -- check says whether the call may enter and writes nothing. It returns
//	  -- a refusal {why = text, wait = microseconds, final = boolean, tag = text},
//	  -- or nil and a plan for apply. The tag is for the guard's own code. {shut =
//	  -- true} declares the sums lost: they lack what the module has to know.
//	  check = function(keys, args, ctx) … end,
//	  -- apply carries the plan out. It returns a memo (a string, kept with the
//	  -- call) and how long the call has to wait, in microseconds.
//	  apply = function(keys, args, ctx, plan) … end,
//	  -- leave learns what became of the call. keys and args are those of the
//	  -- Leave; memo is apply's. ctx.lapsed is true if the lease had ended
//	  -- before, ctx.unknown if the shared state never heard of the call, and
//	  -- ctx.booked if what it cost is in the sums already.
//	  leave = function(keys, args, ctx, memo) … end,
//	  -- due is how long (us) an admitted call still waits, for modules that
//	  -- make calls wait; keys and args are those of the Due, memo is apply's.
//	  due = function(keys, args, ctx, memo) … end,
//	  -- lapse takes back what apply did for a call whose worker died; keys
//	  -- and args are those of the Enter.
//	  lapse = function(keys, args, ctx, memo) … end,
//	  -- warm, for forms with Warm, is handed list[first … last] of all steps of
//	  -- a group before any is carried out, so that what they will look up can
//	  -- be read at once.
//	  warm = function(keys, list, first, last) … end,
//	  -- finish, if there is one, runs once after all operations of the group,
//	  -- so that a module may keep what it read in a local and write it here.
//	  finish = function() … end,
//	}
//
// What the steps of many calls have in common is a [Form]. It is passed once for
// a group, and keys is the same table for all steps of a form, so that a module
// may keep by it what it has made of it. args is too, with what varies filled in
// anew: a module must not keep it.
//
// ctx.now is the store's clock in microseconds, ctx.call the call's id. Inside
// a module, int(n) prints a number in full: tostring loses digits of times and
// money. Args and memos must not contain the bytes 30 and 31.
//
// Entering and leaving are idempotent by the call's id, so a caller whose
// reply was lost asks again. A call that neither leaves nor beats within its
// lease lapses.
package lua
