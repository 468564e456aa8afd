// Tools, and how a model may use them.
#include <utility>

#include "gateway/types/tool_choice_word.h"
#include "objects.h"

namespace carrel::gateway::openai::render {

Json Of(const RankingOptions& ranking, bool hybrid) {
  Json json = {{"ranker", ranking.ranker}, {"score_threshold", ranking.score_threshold}};
  if (!hybrid) return json;
  bool weights = ranking.embedding_weight.has_value() || ranking.text_weight.has_value();
  json["hybrid_search"] = weights ? Json{{"embedding_weight", OrNull(ranking.embedding_weight)},
                                         {"text_weight", OrNull(ranking.text_weight)}}
                                  : Json(nullptr);
  return json;
}

Json Of(const Tool& tool, const View& view) {
  switch (tool.kind) {
    case ToolKind::kCodeInterpreter:
      return {{"type", "code_interpreter"}};
    case ToolKind::kFileSearch: {
      if (view.version == ApiVersion::kV1) return {{"type", "retrieval"}};
      Json options = Json::object();
      if (tool.file_search.max_num_results.has_value()) options["max_num_results"] = *tool.file_search.max_num_results;
      options["ranking_options"] = Of(tool.file_search.ranking, true);
      return {{"type", "file_search"}, {"file_search", options}};
    }
    case ToolKind::kFunction:
      break;
  }
  Json function = {{"name", tool.function.name}};
  if (tool.function.description.has_value()) function["description"] = *tool.function.description;
  function["parameters"] = Free(tool.function.parameters, {{"type", "object"}, {"properties", Json::object()}});
  if (view.version == ApiVersion::kV2) function["strict"] = tool.function.strict.value_or(false);
  return {{"type", "function"}, {"function", function}};
}

Json Of(const std::vector<Tool>& tools, const View& view) {
  Json json = Json::array();
  for (const Tool& tool : tools) json.push_back(Of(tool, view));
  return json;
}

Json Of(const ToolResources& resources) {
  Json json = Json::object();
  if (resources.code_files.has_value()) json["code_interpreter"] = {{"file_ids", Of(*resources.code_files)}};
  if (resources.stores.has_value()) json["file_search"] = {{"vector_store_ids", Of(*resources.stores)}};
  return json;
}

Json Of(const ResponseFormat& format) {
  switch (format.kind) {
    case ResponseFormat::Kind::kAuto:
      return "auto";
    case ResponseFormat::Kind::kText:
      return {{"type", "text"}};
    case ResponseFormat::Kind::kJsonObject:
      return {{"type", "json_object"}};
    case ResponseFormat::Kind::kJsonSchema:
      break;
  }
  return {{"type", "json_schema"}, {"json_schema", Free(format.json_schema, Json::object())}};
}

Json Of(const ToolChoice& choice) {
  if (auto word = ToolChoiceWord(choice.kind); word.has_value()) return *std::move(word);
  if (choice.kind == ToolChoice::Kind::kFunction) {
    return {{"type", "function"}, {"function", {{"name", choice.function_name}}}};
  }
  return {{"type", choice.kind == ToolChoice::Kind::kCodeInterpreter ? "code_interpreter" : "file_search"}};
}

}  // namespace carrel::gateway::openai::render
