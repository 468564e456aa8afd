// What a process is mapped of, made cheaper to fork: a fork and its child's end pay for every mapping, and for every
// page of those that were written to, whether the child uses it or not.
#pragma once

namespace carrel::interpreter {

// For a process with one thread that has loaded its libraries. The loader leaves of each library four to six mappings,
// of which the data's pages are the process's own. Afterwards there are two: its code and constants; and its data, as a
// private mapping of a file in memory that holds what they are now and that nobody can change any more (it is sealed).
// Of such a mapping a fork copies no page; who reads or writes one gets it then.
//
// Nothing becomes both writable and executable. But constants can be executed, and what was relocated can be written to
// again: measures against code that takes over a process. A session is such code from its first instruction, and shut
// in by other means; a zygote meets none.
void JoinLibraryMappings();

// Puts the heap into huge pages where it is not: one entry for what would be 512. A child that writes to one of them
// gets small pages there.
void CollapseHeap();

}  // namespace carrel::interpreter
