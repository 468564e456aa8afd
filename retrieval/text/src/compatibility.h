// Characters that exist for the sake of type alone, as those that people write.
#pragma once

#include <string>

namespace carrel::retrieval {

// Appends what `c` stands for and gives true: Latin ligatures (U+FB00..FB06), Arabic letters in the shape of their
// place in the word (U+FB50..FDFF, U+FE70..FEFC), punctuation turned for vertical lines (U+FE10..FE19, U+FE30..FE48).
// false: it stands for itself.
bool AppendPlain(char32_t c, std::u32string& out);

}  // namespace carrel::retrieval
