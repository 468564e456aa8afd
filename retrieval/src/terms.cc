#include "retrieval/terms.h"

#include <libstemmer.h>
#include <unicode/brkiter.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/uscript.h>

#include <algorithm>
#include <memory>
#include <unordered_set>

namespace carrel::retrieval {
namespace {

// Longer "words" are base64 and the like: cut, so that a term cannot be megabytes.
constexpr int32_t kTermUnitsMax = 64;

struct StemmerDelete {
  void operator()(sb_stemmer* stemmer) const { sb_stemmer_delete(stemmer); }
};

// What is costly to make and not thread-safe, once a thread.
struct Tools {
  Tools() {
    UErrorCode error = U_ZERO_ERROR;
    words.reset(icu::BreakIterator::createWordInstance(icu::Locale::getRoot(), error));
    stemmer.reset(sb_stemmer_new("english", "UTF_8"));
  }
  std::unique_ptr<icu::BreakIterator> words;
  std::unique_ptr<sb_stemmer, StemmerDelete> stemmer;
};

Tools& ThreadTools() {
  thread_local Tools tools;
  return tools;
}

// NFKC case folding, then decomposed with the non-spacing marks off: "Ångström" and "angstrom" are one.
icu::UnicodeString Fold(const icu::UnicodeString& text) {
  UErrorCode error = U_ZERO_ERROR;
  static const icu::Normalizer2* const kFold = [] {
    UErrorCode e = U_ZERO_ERROR;
    return icu::Normalizer2::getNFKCCasefoldInstance(e);
  }();
  static const icu::Normalizer2* const kNfd = [] {
    UErrorCode e = U_ZERO_ERROR;
    return icu::Normalizer2::getNFDInstance(e);
  }();
  static const icu::Normalizer2* const kNfc = [] {
    UErrorCode e = U_ZERO_ERROR;
    return icu::Normalizer2::getNFCInstance(e);
  }();
  const icu::UnicodeString decomposed = kNfd->normalize(kFold->normalize(text, error), error);
  icu::UnicodeString bare;
  for (int32_t i = 0; i < decomposed.length();) {
    const UChar32 c = decomposed.char32At(i);
    i += U16_LENGTH(c);
    // Marks of Indic and other scripts are letters in all but name; only those that sit on Latin, Greek, Cyrillic,
    // Hebrew and Arabic letters are accents.
    UErrorCode script_error = U_ZERO_ERROR;
    const UScriptCode script = uscript_getScript(c, &script_error);
    const bool accent = u_charType(c) == U_NON_SPACING_MARK &&
                        (script == USCRIPT_INHERITED || script == USCRIPT_HEBREW || script == USCRIPT_ARABIC);
    if (!accent || (c >= 0x3099 && c <= 0x309A)) bare.append(c);  // the voicing marks of kana are no accents
  }
  return kNfc->normalize(bare, error);  // Hangul together again
}

bool IsUnspaced(UChar32 c) {
  UErrorCode error = U_ZERO_ERROR;
  switch (uscript_getScript(c, &error)) {
    case USCRIPT_HAN:
    case USCRIPT_HIRAGANA:
    case USCRIPT_KATAKANA:
    case USCRIPT_HANGUL:
    case USCRIPT_THAI:
    case USCRIPT_LAO:
    case USCRIPT_KHMER:
    case USCRIPT_MYANMAR:
      return true;
    default:
      return c == 0x30FC;  // the prolonged sound mark, common to both kana
  }
}

bool IsTermCharacter(UChar32 c) { return u_isalnum(c) != 0 || (U_GET_GC_MASK(c) & (U_GC_M_MASK | U_GC_N_MASK)) != 0; }

class Collector {
 public:
  explicit Collector(std::vector<std::string>& out) : out_(out) {}

  void Word(const icu::UnicodeString& word) {
    std::string utf8;
    bool ascii_letters = true;
    for (int32_t i = 0; i < word.length();) {
      const UChar32 c = word.char32At(i);
      i += U16_LENGTH(c);
      ascii_letters = ascii_letters && c >= 'a' && c <= 'z';
      const bool plain = c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
      icu::UnicodeString(plain ? c : 0xE000 + c).toUTF8String(utf8);
    }
    if (utf8.empty()) return;
    if (ascii_letters) {
      sb_stemmer* stemmer = ThreadTools().stemmer.get();
      const sb_symbol* stem =
          sb_stemmer_stem(stemmer, reinterpret_cast<const sb_symbol*>(utf8.data()), static_cast<int>(utf8.size()));
      if (stem != nullptr) {
        utf8.assign(reinterpret_cast<const char*>(stem), static_cast<size_t>(sb_stemmer_length(stemmer)));
      }
    }
    out_.push_back(std::move(utf8));
  }

  // Overlapping pairs; a lone character is itself.
  void Run(const std::vector<UChar32>& run) {
    for (size_t i = 0; i + 1 < run.size(); ++i) {
      icu::UnicodeString pair(run[i]);
      std::string utf8;
      pair.append(run[i + 1]).toUTF8String(utf8);
      out_.push_back(std::move(utf8));
    }
    if (run.size() == 1) {
      std::string utf8;
      icu::UnicodeString(run[0]).toUTF8String(utf8);
      out_.push_back(std::move(utf8));
    }
  }

 private:
  std::vector<std::string>& out_;
};

// A word as ICU cuts it, cut again where a possessive ends, at what is neither letter nor digit (but not inside
// numbers), and between letters and runs.
void SplitWord(const icu::UnicodeString& word, std::vector<UChar32>& run, Collector& collector) {
  icu::UnicodeString piece;
  const auto flush_run = [&] {
    collector.Run(run);
    run.clear();
  };
  const auto flush_piece = [&] {
    if (!piece.isEmpty()) collector.Word(piece);
    piece.remove();
  };
  const bool number = u_isdigit(word.char32At(0)) != 0;
  for (int32_t i = 0; i < word.length();) {
    const UChar32 c = word.char32At(i);
    i += U16_LENGTH(c);
    if (IsUnspaced(c)) {
      flush_piece();
      run.push_back(c);
      continue;
    }
    if (!run.empty()) flush_run();
    if ((c == '\'' || c == 0x2019) && i + 1 == word.length() && word.char32At(i) == 's') break;
    if (IsTermCharacter(c)) {
      if (piece.length() < kTermUnitsMax) piece.append(c);
    } else if (number && (c == '.' || c == ',')) {
      piece.append(c);
    } else if (c != '\'' && c != 0x2019) {
      flush_piece();
    }
  }
  flush_piece();
}

const std::unordered_set<std::string>& FunctionWords() {
  // Closed-class English words (articles, pronouns, prepositions, auxiliaries, question words), as terms.
  static const auto* const kWords = [] {
    auto* set = new std::unordered_set<std::string>;
    for (std::string& term : Terms(
             "a about above after again against all am an and any are as at be because been before being below between "
             "both but by can cannot could did do does doing down during each few for from further had has have having "
             "he her here hers herself him himself his how i if in into is it its itself let me more most my myself no "
             "nor not of off on once only or other ought our ours ourselves out over own please same she should so "
             "some "
             "such tell than that the their theirs them themselves then there these they this those through to too "
             "under "
             "until up us very was we were what when where which while who whom why will with would you your yours "
             "yourself yourselves don't isn't can't won't doesn't didn't")) {
      set->insert(std::move(term));
    }
    return set;
  }();
  return *kWords;
}

}  // namespace

std::vector<std::string> Terms(std::string_view utf8) {
  std::vector<std::string> out;
  const icu::UnicodeString text =
      Fold(icu::UnicodeString::fromUTF8({utf8.data(), static_cast<int32_t>(std::min<size_t>(utf8.size(), 1u << 30))}));
  icu::BreakIterator& words = *ThreadTools().words;
  words.setText(text);
  Collector collector(out);
  std::vector<UChar32> run;  // of a script without spaces, over ICU's dictionary words
  int32_t begin = words.first();
  for (int32_t end = words.next(); end != icu::BreakIterator::DONE; begin = end, end = words.next()) {
    const icu::UnicodeString word = text.tempSubStringBetween(begin, end);
    const UChar32 first = word.char32At(0);
    if (words.getRuleStatus() == UBRK_WORD_NONE && !IsTermCharacter(first)) {
      collector.Run(run);
      run.clear();
      continue;
    }
    SplitWord(word, run, collector);
  }
  collector.Run(run);
  return out;
}

std::vector<std::string> QueryTerms(std::string_view utf8) {
  std::vector<std::string> all = Terms(utf8);
  std::unordered_set<std::string> seen;
  std::erase_if(all, [&](const std::string& term) { return !seen.insert(term).second; });
  std::vector<std::string> content;
  std::copy_if(all.begin(), all.end(), std::back_inserter(content),
               [](const std::string& term) { return !FunctionWords().contains(term); });
  return content.empty() ? all : content;
}

std::string JoinTerms(const std::vector<std::string>& terms) {
  std::string out;
  for (const std::string& term : terms) {
    if (!out.empty()) out.push_back(' ');
    out += term;
  }
  return out;
}

}  // namespace carrel::retrieval
