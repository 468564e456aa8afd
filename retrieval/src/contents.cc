#include "contents.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "status_macros.h"

namespace carrel::retrieval {
namespace {

constexpr uint32_t kPieceCharacters = 16'384;  // at most 64 KiB of UTF-8
// A word in the title or a heading counts as much as two in the text.
constexpr double kHeadingWeight = 2.0;
constexpr double kBodyWeight = 1.0;
constexpr uint64_t kRowOverheadBytes = 64;
constexpr int64_t kMergePages = 500;  // of a keyword index, rewritten at once with the writer held

constexpr int64_t kTermIndexMin = 10'000;  // sub-passages; of fewer, postings are made in a tenth of a second

std::string TermTable(int64_t store) { return absl::StrCat("terms_", store); }

bool Continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// The bytes of the first `n` code points. Whole strides are counted, which compilers turn into vector instructions.
size_t PrefixBytes(std::string_view utf8, uint32_t n) {
  constexpr size_t kStride = 64;
  size_t i = 0;
  while (n > kStride && utf8.size() - i >= kStride) {
    uint32_t begun = 0;
    for (size_t at = i; at < i + kStride; ++at) begun += Continues(utf8[at]) ? 0 : 1;
    n -= begun;
    i += kStride;
  }
  while (i < utf8.size() && Continues(utf8[i])) ++i;
  for (; n > 0 && i < utf8.size(); --n) {
    ++i;
    while (i < utf8.size() && Continues(utf8[i])) ++i;
  }
  return i;
}

// All that was made of the bytes.
absl::Status DeleteText(Connection& db, int64_t content) {
  RETURN_IF_ERROR(
      RunSql(db, "DELETE FROM sub_terms WHERE row IN (SELECT row FROM sub_passages WHERE content = ?1)", content));
  for (const char* table : {"sub_passages", "passages", "pages", "texts"}) {
    RETURN_IF_ERROR(RunSql(db, absl::StrCat("DELETE FROM ", table, " WHERE content = ?1"), content));
  }
  return absl::OkStatus();
}

// Both give the bytes that were stored.
absl::StatusOr<uint64_t> StoreTextAndPages(Connection& db, int64_t content, const ExtractedDocument& document) {
  uint64_t bytes = 0;
  {
    Statement insert(db, "INSERT INTO texts(content, begin, \"end\", utf8) VALUES(?1, ?2, ?3, ?4)");
    const std::u32string_view text = document.text;
    for (size_t begin = 0; begin < text.size(); begin += kPieceCharacters) {
      const std::u32string_view piece = text.substr(begin, kPieceCharacters);
      const std::string utf8 = ToUtf8(piece);
      bytes += utf8.size() + kRowOverheadBytes;
      RETURN_IF_ERROR(insert.Again(content, static_cast<uint64_t>(begin), static_cast<uint64_t>(begin + piece.size()),
                                   Statement::Blob(utf8)));
    }
  }
  {
    Statement insert(db, "INSERT INTO pages(content, ordinal, body_begin, body_end, data) VALUES(?1, ?2, ?3, ?4, ?5)");
    for (size_t i = 0; i < document.pages.size(); ++i) {
      const Page& page = document.pages[i];
      const std::string data = EncodePage(page);
      bytes += data.size() + kRowOverheadBytes;
      RETURN_IF_ERROR(
          insert.Again(content, static_cast<uint64_t>(i), page.body.begin, page.body.end, Statement::Blob(data)));
    }
  }
  return bytes;
}

absl::StatusOr<uint64_t> CopyTextAndPages(Connection& db, int64_t from, int64_t to) {
  RETURN_IF_ERROR(RunSql(db,
                         "INSERT INTO texts(content, begin, \"end\", utf8) SELECT ?2, begin, \"end\", utf8 FROM texts "
                         "WHERE content = ?1",
                         from, to));
  if (db.changed_rows() == 0) return absl::AbortedError("what it was to be copied from has been deleted");
  RETURN_IF_ERROR(RunSql(db,
                         "INSERT INTO pages(content, ordinal, body_begin, body_end, data) SELECT ?2, ordinal, "
                         "body_begin, body_end, data FROM pages WHERE content = ?1",
                         from, to));
  Statement q(db,
              "SELECT (SELECT coalesce(sum(length(utf8) + ?2), 0) FROM texts WHERE content = ?1) + "
              "(SELECT coalesce(sum(length(data) + ?2), 0) FROM pages WHERE content = ?1)",
              to, kRowOverheadBytes);
  if (!q.Step()) return q.status();
  return static_cast<uint64_t>(q.Int(0));
}

}  // namespace

absl::StatusOr<std::optional<ContentRow>> FindContent(Connection& db, const ContentKey& key) {
  Statement q(db,
              "SELECT row, state, verdict FROM contents WHERE sha256 = ?1 AND type = ?2 AND max_tokens = ?3 AND "
              "overlap_tokens = ?4 AND model = ?5 AND pipeline = ?6",
              key.sha256, key.type, key.chunking.max_tokens, key.chunking.overlap_tokens, key.model, kPipelineVersion);
  std::optional<ContentRow> out;
  if (q.Step()) {
    out = ContentRow{.row = q.Int(0), .state = static_cast<ContentState>(q.Int(1))};
    if (!q.Null(2)) out->verdict = static_cast<Verdict>(q.Int(2));
  }
  if (!q.ok()) return q.status();
  return out;
}

absl::StatusOr<int64_t> InsertContent(Connection& db, const ContentKey& key, uint64_t size_bytes, int64_t now_ms) {
  RETURN_IF_ERROR(RunSql(db,
                         "INSERT INTO contents(sha256, size_bytes, type, max_tokens, overlap_tokens, model, pipeline, "
                         "state, next_try_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)",
                         key.sha256, size_bytes, key.type, key.chunking.max_tokens, key.chunking.overlap_tokens,
                         key.model, kPipelineVersion, now_ms));
  return db.last_row();
}

absl::Status RequeueContent(Connection& db, int64_t content, int64_t now_ms) {
  RETURN_IF_ERROR(DeleteText(db, content));
  return RunSql(db, "UPDATE contents SET state = 0, attempts = 0, postponed = '', next_try_ms = ?2 WHERE row = ?1",
                content, now_ms);
}

absl::Status FailContent(Connection& db, int64_t content, Verdict verdict, const std::string& message) {
  RETURN_IF_ERROR(DeleteText(db, content));
  return RunSql(
      db,
      "UPDATE contents SET state = 3, verdict = ?2, message = ?3, characters = 0, passages = 0, stored_bytes = "
      "0 WHERE row = ?1",
      content, static_cast<int>(verdict), message);
}

absl::Status StoreExtraction(Connection& db, int64_t content, const Extraction& extraction, const Chunks& chunks,
                             std::span<const SubPassageText> texts, std::optional<int64_t> layout_of) {
  const ExtractedDocument& document = extraction.document;
  uint64_t bytes = 0;
  if (layout_of) {
    ASSIGN_OR_RETURN(bytes, CopyTextAndPages(db, *layout_of, content));
  } else {
    ASSIGN_OR_RETURN(bytes, StoreTextAndPages(db, content, document));
  }
  std::vector<int64_t> passage_rows;
  {
    Statement insert(db, "INSERT INTO passages(content, begin, \"end\", heading) VALUES(?1, ?2, ?3, ?4)");
    for (const Passage& passage : chunks.passages) {
      const std::string& heading = texts[passage.first_sub].heading;
      bytes += heading.size() + kRowOverheadBytes;
      RETURN_IF_ERROR(insert.Again(content, passage.span.begin, passage.span.end, heading));
      passage_rows.push_back(db.last_row());
    }
  }
  {
    Statement insert(db,
                     "INSERT INTO sub_passages(content, passage, begin, \"end\", heading) VALUES(?1, ?2, ?3, ?4, ?5)");
    Statement terms(db, "INSERT INTO sub_terms(row, heading, body) VALUES(?1, ?2, ?3)");
    for (uint32_t i = 0; i < chunks.sub_passages.size(); ++i) {
      const Span span = chunks.sub_passages[i].span;
      const SubPassageText& text = texts[i];
      RETURN_IF_ERROR(
          insert.Again(content, passage_rows[EnclosingPassage(chunks, i)], span.begin, span.end, text.heading));
      RETURN_IF_ERROR(terms.Again(db.last_row(), text.heading_terms, text.body_terms));
      // The terms stand in the index once more.
      bytes += text.heading.size() + 2 * (text.heading_terms.size() + text.body_terms.size()) + 2 * kRowOverheadBytes;
    }
  }
  return RunSql(db,
                "UPDATE contents SET state = 1, attempts = 0, postponed = '', verdict = ?2, message = ?3, title = ?4, "
                "pages = ?5, "
                "characters = ?6, passages = ?7, stored_bytes = ?8 WHERE row = ?1",
                content, static_cast<int>(extraction.verdict), extraction.message, document.title, extraction.pages,
                static_cast<uint64_t>(document.text.size()), static_cast<uint64_t>(chunks.passages.size()), bytes);
}

absl::StatusOr<std::optional<StoredText>> FindStoredText(Connection& db, int64_t content) {
  StoredText out;
  Extraction& extraction = out.extraction;
  ExtractedDocument& document = extraction.document;
  {
    Statement q(
        db,
        "SELECT o.row, o.verdict, o.message, o.title, o.pages, o.characters, o.type FROM contents c JOIN contents o ON "
        "o.sha256 = c.sha256 AND o.type = c.type AND o.max_tokens = c.max_tokens AND o.overlap_tokens = "
        "c.overlap_tokens AND o.pipeline = c.pipeline WHERE c.row = ?1 AND o.row <> c.row AND o.state IN (1, 2) "
        "LIMIT 1",
        content);
    if (!q.Step()) return q.ok() ? absl::StatusOr<std::optional<StoredText>>(std::nullopt) : q.status();
    out.content = q.Int(0);
    extraction.verdict = static_cast<Verdict>(q.Int(1));
    extraction.message = q.Text(2);
    document.title = q.Text(3);
    extraction.pages = static_cast<uint32_t>(q.Int(4));
    document.by_line = wire::ByLine(static_cast<DocumentType>(q.Int(6)));
    ASSIGN_OR_RETURN(const std::string utf8, ReadText(db, out.content, {0, static_cast<uint32_t>(q.Int(5))}));
    ASSIGN_OR_RETURN(document.text, FromUtf8(utf8));
    if (document.text.size() != static_cast<size_t>(q.Int(5))) return absl::DataLossError("the stored text is cut off");
  }
  {
    Statement q(db, "SELECT coalesce(max(body_end), 0) FROM pages WHERE content = ?1", out.content);
    if (!q.Step()) return q.status();
    document.body_end = std::min(static_cast<uint32_t>(q.Int(0)), static_cast<uint32_t>(document.text.size()));
  }
  Statement q(db, "SELECT begin, heading FROM sub_passages WHERE content = ?1 ORDER BY begin", out.content);
  while (q.Step()) {
    const auto begin = static_cast<uint32_t>(q.Int(0));
    if (document.headings.empty() ? q.Bytes(1).empty() : document.headings.back().title == q.Bytes(1)) continue;
    document.headings.push_back({.span = {begin, begin}, .level = 1, .title = q.Text(1)});
  }
  if (!q.ok()) return q.status();
  return out;
}

absl::StatusOr<std::vector<SubPassageToEmbed>> SubPassagesWithoutVector(Connection& db, int64_t content,
                                                                        uint32_t limit) {
  std::vector<SubPassageToEmbed> out;
  Statement q(
      db,
      "SELECT row, begin, \"end\", heading FROM sub_passages WHERE content = ?1 AND vector IS NULL ORDER BY row "
      "LIMIT ?2",
      content, limit);
  while (q.Step()) {
    out.push_back({.row = q.Int(0),
                   .span = {static_cast<uint32_t>(q.Int(1)), static_cast<uint32_t>(q.Int(2))},
                   .heading = q.Text(3)});
  }
  if (!q.ok()) return q.status();
  return out;
}

absl::StatusOr<EmbeddingCounts> CountEmbeddings(Connection& db, int64_t content) {
  Statement q(db, "SELECT count(vector), count(*) FROM sub_passages WHERE content = ?1", content);
  if (!q.Step()) return q.status();
  return EmbeddingCounts{.done = static_cast<uint32_t>(q.Int(0)), .all = static_cast<uint32_t>(q.Int(1))};
}

// f32 as they lie in memory: a database is not moved between machines of different byte order.
std::string_view VectorBytes(std::span<const float> vector) {
  return {reinterpret_cast<const char*>(vector.data()), vector.size_bytes()};
}

absl::Status ReadVectors(Connection& db, int64_t content,
                         const std::function<void(const SubPassagePlace& place, std::span<const float> vector)>& sink) {
  std::vector<float> vector;
  Statement q(db,
              "SELECT row, passage, begin, \"end\", vector FROM sub_passages WHERE content = ?1 AND vector IS NOT NULL "
              "ORDER BY row",
              content);
  while (q.Step()) {
    const std::string_view bytes = q.Bytes(4);
    vector.resize(bytes.size() / sizeof(float));
    std::copy(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(vector.size() * sizeof(float)),
              reinterpret_cast<char*>(vector.data()));
    sink({.row = q.Int(0),
          .passage = q.Int(1),
          .span = {static_cast<uint32_t>(q.Int(2)), static_cast<uint32_t>(q.Int(3))}},
         vector);
  }
  return q.status();
}

absl::StatusOr<std::optional<FoundSubPassage>> FindSubPassage(Connection& db, int64_t row) {
  Statement q(db, "SELECT passage, content, begin, \"end\" FROM sub_passages WHERE row = ?1", row);
  std::optional<FoundSubPassage> out;
  if (q.Step()) {
    out = FoundSubPassage{.content = q.Int(1),
                          .place = {.row = row,
                                    .passage = q.Int(0),
                                    .span = {static_cast<uint32_t>(q.Int(2)), static_cast<uint32_t>(q.Int(3))}}};
  }
  if (!q.ok()) return q.status();
  return out;
}

absl::Status ReadTerms(Connection& db, int64_t content,
                       const std::function<void(std::string_view heading, std::string_view body)>& sink) {
  Statement q(db,
              "SELECT t.heading, t.body FROM sub_passages p JOIN sub_terms t ON t.row = p.row WHERE p.content = ?1 AND "
              "p.vector IS NOT NULL ORDER BY p.row",
              content);
  while (q.Step()) sink(q.Bytes(0), q.Bytes(1));
  return q.status();
}

std::string_view Characters(std::string_view utf8, uint32_t begin, uint32_t end) {
  utf8.remove_prefix(PrefixBytes(utf8, begin));
  return utf8.substr(0, PrefixBytes(utf8, end - begin));
}

absl::Status ReadTextPieces(Connection& db, int64_t content, Span span,
                            const std::function<bool(uint32_t begin, std::string_view utf8)>& sink) {
  Statement q(db,
              "SELECT begin, \"end\", utf8 FROM texts WHERE content = ?1 AND begin < ?3 AND begin >= ?2 ORDER BY begin",
              content, span.begin / kPieceCharacters * kPieceCharacters, span.end);
  while (q.Step()) {
    const auto begin = static_cast<uint32_t>(q.Int(0));
    const auto end = static_cast<uint32_t>(q.Int(1));
    std::string_view utf8 = q.Bytes(2);
    if (end > span.end) utf8 = utf8.substr(0, PrefixBytes(utf8, span.end - begin));
    if (begin < span.begin) utf8.remove_prefix(PrefixBytes(utf8, span.begin - begin));
    if (!utf8.empty() && !sink(std::max(begin, span.begin), utf8)) return absl::OkStatus();
  }
  return q.status();
}

absl::StatusOr<std::string> ReadText(Connection& db, int64_t content, Span span) {
  std::string out;
  RETURN_IF_ERROR(ReadTextPieces(db, content, span, [&](uint32_t, std::string_view utf8) {
    out += utf8;
    return true;
  }));
  if (out.empty() && !span.empty()) return absl::DataLossError("the text of a passage is missing");
  return out;
}

namespace {

// The first page whose body ends at or after `offset`. Bodies follow each other, so it is found by halving: a scan
// would read every page of a thick document for every quote.
absl::StatusOr<int64_t> FirstPageEndingAt(Connection& db, int64_t content, uint32_t offset) {
  int64_t low = 0, high = 0;
  {
    Statement q(db, "SELECT max(ordinal) + 1 FROM pages WHERE content = ?1", content);
    if (q.Step()) high = q.Int(0);
    if (!q.ok()) return q.status();
  }
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    Statement q(db, "SELECT body_end FROM pages WHERE content = ?1 AND ordinal = ?2", content, middle);
    if (!q.Step()) return q.ok() ? absl::DataLossError("a page is missing") : q.status();
    if (q.Int(0) < int64_t{offset}) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// Margins stand behind all bodies, and no column tells where: seldom asked for, so every page is looked at.
absl::StatusOr<std::vector<Page>> ReadPagesOfMargins(Connection& db, int64_t content, Span span) {
  std::vector<Page> out;
  Statement q(db, "SELECT data FROM pages WHERE content = ?1 ORDER BY ordinal", content);
  while (q.Step()) {
    ASSIGN_OR_RETURN(Page page, DecodePage(q.Bytes(0)));
    if (page.margin.Intersects(span)) out.push_back(std::move(page));
  }
  if (!q.ok()) return q.status();
  return out;
}

}  // namespace

absl::StatusOr<std::vector<Page>> ReadPages(Connection& db, int64_t content, Span span) {
  std::vector<Page> out;
  ASSIGN_OR_RETURN(const int64_t first, FirstPageEndingAt(db, content, span.begin));
  Statement q(db, "SELECT body_begin, data FROM pages WHERE content = ?1 AND ordinal >= ?2 ORDER BY ordinal", content,
              first);
  while (q.Step() && q.Int(0) <= int64_t{span.end}) {
    ASSIGN_OR_RETURN(Page page, DecodePage(q.Bytes(1)));
    out.push_back(std::move(page));
  }
  if (!q.ok()) return q.status();
  if (out.empty()) {
    ASSIGN_OR_RETURN(out, ReadPagesOfMargins(db, content, span));
  }
  if (out.empty()) return absl::DataLossError("the page of a passage is missing");
  return out;
}

absl::StatusOr<std::optional<Page>> ReadPage(Connection& db, int64_t content, uint32_t number) {
  // Pages that could not be read are left out: a page's number is never below its place.
  Statement q(db, "SELECT data FROM pages WHERE content = ?1 AND ordinal < ?2 ORDER BY ordinal DESC", content, number);
  while (q.Step()) {
    ASSIGN_OR_RETURN(Page page, DecodePage(q.Bytes(0)));
    if (page.number == number) return page;
    if (page.number < number) return std::nullopt;
  }
  if (!q.ok()) return q.status();
  return std::nullopt;
}

absl::StatusOr<bool> HasTermIndex(Connection& db, int64_t store) {
  Statement q(db, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1", TermTable(store));
  const bool there = q.Step();
  if (!q.ok()) return q.status();
  return there;
}

namespace {

absl::Status CreateTermIndex(Connection& db, int64_t store) {
  // The terms come tokenized: ASCII letters and digits, and everything else above ASCII, separated by spaces.
  return db.Execute(
      absl::StrCat("CREATE VIRTUAL TABLE ", TermTable(store),
                   " USING fts5(heading, body, content='sub_terms', content_rowid='row', tokenize='ascii')"));
}

// Of one content, or of all that the store shows.
absl::Status AddToTermIndex(Connection& db, int64_t store, std::optional<int64_t> content) {
  return RunSql(db,
                absl::StrCat("INSERT INTO ", TermTable(store),
                             "(rowid, heading, body) SELECT t.row, t.heading, t.body FROM sub_terms t "
                             "JOIN sub_passages p ON p.row = t.row WHERE p.content ",
                             content ? "= ?1" : "IN (SELECT content FROM indexed WHERE store = ?1)", " ORDER BY t.row"),
                content.value_or(store));
}

absl::StatusOr<bool> IsLarge(Connection& db, int64_t store) {
  Statement q(db,
              "SELECT 1 FROM sub_passages WHERE content IN (SELECT content FROM indexed WHERE store = ?1) "
              "LIMIT 1 OFFSET ?2",
              store, kTermIndexMin - 1);
  const bool large = q.Step();
  if (!q.ok()) return q.status();
  return large;
}

}  // namespace

absl::Status DropTermIndex(Connection& db, int64_t store) {
  return db.Execute(absl::StrCat("DROP TABLE IF EXISTS ", TermTable(store)));
}

absl::Status IndexContent(Connection& db, int64_t store, int64_t content) {
  RETURN_IF_ERROR(RunSql(db, "INSERT OR IGNORE INTO indexed(store, content) VALUES(?1, ?2)", store, content));
  if (db.changed_rows() == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const bool there, HasTermIndex(db, store));
  if (there) return AddToTermIndex(db, store, content);
  ASSIGN_OR_RETURN(const bool large, IsLarge(db, store));
  if (!large) return absl::OkStatus();
  RETURN_IF_ERROR(CreateTermIndex(db, store));
  return AddToTermIndex(db, store, std::nullopt);
}

absl::Status UnindexContent(Connection& db, int64_t store, int64_t content) {
  RETURN_IF_ERROR(RunSql(db, "DELETE FROM indexed WHERE store = ?1 AND content = ?2", store, content));
  if (db.changed_rows() == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const bool there, HasTermIndex(db, store));
  if (!there) return absl::OkStatus();
  // Its words stay in the index until that is rewritten, which a process that ends now must leave to the next.
  RETURN_IF_ERROR(RunSql(db, "UPDATE stores SET unmerged = unmerged + 1 WHERE row = ?1", store));
  // With external content, what is removed must be named with its old values.
  const std::string table = TermTable(store);
  return RunSql(
      db,
      absl::StrCat("INSERT INTO ", table, "(", table, ", rowid, heading, body) SELECT 'delete', t.row, t.heading, ",
                   "t.body FROM sub_terms t JOIN sub_passages p ON p.row = t.row WHERE p.content = ?1"),
      content);
}

absl::StatusOr<std::vector<UnmergedStore>> UnmergedStores(Connection& db) {
  std::vector<UnmergedStore> out;
  Statement q(db, "SELECT row, unmerged FROM stores WHERE unmerged > 0");
  while (q.Step()) out.push_back({.store = q.Int(0), .removals = q.Int(1)});
  if (!q.ok()) return q.status();
  return out;
}

absl::Status SetMerged(Connection& db, const UnmergedStore& store) {
  return RunSql(db, "UPDATE stores SET unmerged = unmerged - ?2 WHERE row = ?1", store.store, store.removals);
}

absl::StatusOr<bool> IsIndexed(Connection& db, int64_t store, int64_t content) {
  Statement q(db, "SELECT 1 FROM indexed WHERE store = ?1 AND content = ?2", store, content);
  const bool found = q.Step();
  if (!q.ok()) return q.status();
  return found;
}

// FTS5's documented way of doing 'optimize' in steps: a negative number of pages begins it, positive ones go on until
// one changes less than two rows.
absl::StatusOr<bool> MergeTermIndex(Connection& db, int64_t store, bool first) {
  ASSIGN_OR_RETURN(const bool there, HasTermIndex(db, store));
  if (!there) return false;
  const std::string table = TermTable(store);
  const int64_t before = db.total_changed_rows();
  RETURN_IF_ERROR(RunSql(db, absl::StrCat("INSERT INTO ", table, "(", table, ", rank) VALUES('merge', ?1)"),
                         first ? -kMergePages : kMergePages));
  return first || db.total_changed_rows() - before >= 2;
}

absl::StatusOr<std::vector<SubPassageMatch>> SearchTerms(Connection& db, int64_t store,
                                                         const std::vector<std::string>& terms, size_t count,
                                                         const RowSet* contents) {
  std::vector<SubPassageMatch> out;
  if (terms.empty()) return out;
  std::string match;
  for (const std::string& term : terms) absl::StrAppend(&match, match.empty() ? "" : " OR ", "\"", term, "\"");
  const std::string table = TermTable(store);
  const std::string score = absl::StrCat("bm25(", table, ", ", kHeadingWeight, ", ", kBodyWeight, ")");
  if (contents == nullptr) {
    Statement q(db,
                absl::StrCat("SELECT rowid, ", score, " AS s FROM ", table, " WHERE ", table,
                             " MATCH ?1 ORDER BY s, rowid LIMIT ?2"),
                match, static_cast<uint64_t>(count));
    while (q.Step()) out.push_back({.sub_passage = q.Int(0), .score = -q.Real(1)});
    if (!q.ok()) return q.status();
    return out;
  }
  Statement q(
      db,
      absl::StrCat("SELECT t.rowid, ", score, " AS s FROM ", table, " t JOIN sub_passages p ON p.row = t.rowid WHERE ",
                   table, " MATCH ?1 AND carrel_in(p.content, ?3) ORDER BY s, t.rowid LIMIT ?2"),
      match, static_cast<uint64_t>(count), contents);
  while (q.Step()) out.push_back({.sub_passage = q.Int(0), .score = -q.Real(1)});
  if (!q.ok()) return q.status();
  return out;
}

absl::StatusOr<std::string> PurgeContent(Connection& db, int64_t content) {
  std::string sha256;
  {
    Statement q(db, "SELECT sha256 FROM contents WHERE row = ?1", content);
    if (q.Step()) sha256 = q.Text(0);
    if (!q.ok()) return q.status();
  }
  RETURN_IF_ERROR(DeleteText(db, content));
  RETURN_IF_ERROR(RunSql(db, "DELETE FROM contents WHERE row = ?1", content));
  Statement q(db, "SELECT 1 FROM contents WHERE sha256 = ?1 LIMIT 1", sha256);
  if (q.Step()) sha256.clear();
  if (!q.ok()) return q.status();
  return sha256;
}

}  // namespace carrel::retrieval
