// Tools as an assistant or a run has them, and the calls that a model made of them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gateway/types/citation.h"
#include "gateway/types/ids.h"
#include "gateway/types/outcome.h"
#include "gateway/types/values.h"

namespace carrel::gateway {

struct FunctionTool {
  std::string name;
  std::optional<std::string> description;
  JsonText parameters;  // never validated; empty: the client gave none
  std::optional<bool> strict;
  friend bool operator==(const FunctionTool&, const FunctionTool&) = default;
};

struct RankingOptions {
  std::string ranker = "default_2024_08_21";
  double score_threshold = 0;  // 0 to 1
  std::optional<double> embedding_weight;
  std::optional<double> text_weight;
  std::optional<int> rrf_k;  // the constant of reciprocal rank fusion, 1 to 1000
  friend bool operator==(const RankingOptions&, const RankingOptions&) = default;
};

struct FileSearchTool {
  std::optional<int> max_num_results;  // 1 to 50
  RankingOptions ranking;
  friend bool operator==(const FileSearchTool&, const FileSearchTool&) = default;
};

enum class ToolKind { kCodeInterpreter, kFileSearch, kFunction };

// What the two built-in tools are called towards the model; a user's function may not take these names.
inline constexpr char kCodeToolName[] = "code_interpreter";
inline constexpr char kSearchToolName[] = "file_search";

struct Tool {
  ToolKind kind = ToolKind::kFunction;
  FunctionTool function;       // kFunction
  FileSearchTool file_search;  // kFileSearch
  friend bool operator==(const Tool&, const Tool&) = default;
};

// Absent and empty differ in what clients are shown ("tool_resources": {}).
struct ToolResources {
  std::optional<std::vector<FileId>> code_files;  // at most 20
  std::optional<std::vector<StoreId>> stores;     // at most 1
  friend bool operator==(const ToolResources&, const ToolResources&) = default;
};

struct CodeOutput {
  enum class Kind { kLogs, kImage };
  Kind kind = Kind::kLogs;
  std::string logs;
  FileId image;
  friend bool operator==(const CodeOutput&, const CodeOutput&) = default;
};

// A file that code wrote: what a link to sandbox:/mnt/data/<path> means.
struct WrittenFile {
  std::string path;  // relative to /mnt/data
  FileId file_id;
  friend bool operator==(const WrittenFile&, const WrittenFile&) = default;
};

// What a score is made of; a rank of 0: not among this leg's results.
struct ScoreParts {
  double vector_score = 0;  // cosine, -1 to 1
  uint32_t vector_rank = 0;
  double text_score = 0;  // BM25
  uint32_t text_rank = 0;
  friend bool operator==(const ScoreParts&, const ScoreParts&) = default;
};

struct SearchResult {
  StoreId store_id;
  FileId file_id;
  std::string file_name;
  double score = 0;  // 0 to 1
  ScoreParts parts;
  Attributes attributes;
  std::string passage;  // shown only with include[]
  TextSpan passage_span;
  std::string heading;              // " > " between; "": none
  std::vector<Citation> citations;  // the best first

  // The sentence that answers best; an empty one where there is none.
  Citation BestCitation() const { return citations.empty() ? Citation{} : citations.front(); }
  friend bool operator==(const SearchResult&, const SearchResult&) = default;
};

// Microseconds: of the whole search, and of its parts.
struct SearchTimes {
  uint64_t elapsed_us = 0;
  uint64_t embed_us = 0;
  uint64_t vector_us = 0;
  uint64_t text_us = 0;
};

struct SearchAnswer {
  std::vector<SearchResult> results;  // the best first
  SearchTimes times;
};

struct ToolCall {
  CallId id;
  ToolKind kind = ToolKind::kFunction;
  // kCodeInterpreter
  std::string code;
  std::vector<CodeOutput> code_outputs;
  std::optional<Outcome> ending;           // absent: it was not run, or not to its end
  std::vector<WrittenFile> written_files;  // never shown; it has to be stored, for links in later answers
  // kFileSearch
  RankingOptions ranking;
  std::vector<SearchResult> search_results;
  // kFunction
  std::string function_name;
  std::string arguments;  // as the model wrote them; it may be broken JSON
  std::optional<std::string> output;
  friend bool operator==(const ToolCall&, const ToolCall&) = default;
};

// A caller's answer to one function call.
struct ToolOutput {
  CallId call_id;
  std::string output;
};

struct ToolChoice {
  enum class Kind { kAuto, kNone, kRequired, kFunction, kCodeInterpreter, kFileSearch };
  Kind kind = Kind::kAuto;
  std::string function_name;  // kFunction
  friend bool operator==(const ToolChoice&, const ToolChoice&) = default;
};

struct ResponseFormat {
  enum class Kind { kAuto, kText, kJsonObject, kJsonSchema };
  Kind kind = Kind::kAuto;
  JsonText json_schema;  // kJsonSchema: the object {name, description, schema, strict}
  friend bool operator==(const ResponseFormat&, const ResponseFormat&) = default;
};

}  // namespace carrel::gateway
