// What stands in "x_carrel", by the names of Carrel's own contracts (proto/carrel).
#include "objects.h"

namespace carrel::gateway::openai::render {
namespace {

Json SpanOf(const TextSpan& span) { return {{"begin", span.begin}, {"end", span.end}}; }

}  // namespace

Json CitationOf(const Citation& citation) {
  Json boxes = Json::array();
  for (const PageBox& box : citation.boxes) {
    boxes.push_back(
        {{"page", box.page}, {"x_min", box.x_min}, {"y_min", box.y_min}, {"x_max", box.x_max}, {"y_max", box.y_max}});
  }
  return {{"quote", citation.quote},
          {"span", SpanOf(citation.span)},
          {"first_page", citation.first_page},
          {"last_page", citation.last_page},
          {"first_page_label", citation.first_page_label},
          {"last_page_label", citation.last_page_label},
          {"boxes", std::move(boxes)},
          {"recognised", citation.recognised}};
}

Json MoreOf(const SearchResult& result) {
  Json citations = Json::array();
  for (const Citation& citation : result.citations) citations.push_back(CitationOf(citation));
  return {{"vector_score", result.parts.vector_score},
          {"vector_rank", result.parts.vector_rank},
          {"text_score", result.parts.text_score},
          {"text_rank", result.parts.text_rank},
          {"passage", result.passage},
          {"passage_span", SpanOf(result.passage_span)},
          {"heading", result.heading},
          {"citations", std::move(citations)}};
}

Json MoreOf(const Annotation& annotation) {
  Json json = {{"score", annotation.score}};
  json.update(CitationOf(annotation.citation));
  return json;
}

Json MoreOf(const VectorStoreFile& file) {
  Json json = {{"filename", file.filename},           {"pages", file.facts.pages},
               {"characters", file.facts.characters}, {"passages", file.facts.passages},
               {"verdict", file.facts.verdict},       {"message", file.facts.message}};
  if (file.progress.has_value()) {
    json["progress"] = {{"phase", file.progress->phase},       {"pages_done", file.progress->pages_done},
                        {"pages", file.progress->pages},       {"embedded", file.progress->embedded},
                        {"to_embed", file.progress->to_embed}, {"message", file.progress->message}};
  }
  return json;
}

Json MoreOf(const SearchTimes& times) {
  return {{"elapsed_us", times.elapsed_us},
          {"embed_us", times.embed_us},
          {"vector_us", times.vector_us},
          {"text_us", times.text_us}};
}

Json MoreOf(const StoreModel& model) {
  Json json = {{"model", model.name}, {"reembedding", nullptr}};
  if (model.change.has_value()) {
    json["reembedding"] = {{"model", model.change->name},          {"documents_done", model.change->documents_done},
                           {"documents", model.change->documents}, {"embedded", model.change->embedded},
                           {"to_embed", model.change->to_embed},   {"documents_failed", model.change->documents_failed},
                           {"message", model.change->message}};
  }
  return json;
}

Json MoreOf(const Outcome& outcome) {
  Json touched = Json::array();
  for (const LimitKind limit : outcome.limits_touched) touched.push_back(std::string(NameOf(limit)));
  Json skipped = Json::array();
  for (const SkippedFile& file : outcome.skipped) skipped.push_back({{"path", file.path}, {"reason", file.reason}});
  Json exception = nullptr;
  if (outcome.exception.has_value()) {
    exception = {{"name", outcome.exception->name}, {"value", outcome.exception->value}};
  }
  return {{"kind", std::string(NameOf(outcome.kind))},
          {"message", outcome.message},
          {"exception", std::move(exception)},
          {"exit_code", outcome.exit_code},
          {"signal", outcome.signal},
          {"limit", outcome.limit.has_value() ? Json(std::string(NameOf(*outcome.limit))) : Json(nullptr)},
          {"limit_value", outcome.limit_value},
          {"limits_touched", std::move(touched)},
          {"state_kept", outcome.state_kept},
          {"usage",
           {{"wall_ms", outcome.usage.wall_ms},
            {"cpu_ms", outcome.usage.cpu_ms},
            {"memory_peak_bytes", outcome.usage.memory_peak_bytes},
            {"stdout_bytes", outcome.usage.stdout_bytes},
            {"stderr_bytes", outcome.usage.stderr_bytes},
            {"display_bytes", outcome.usage.display_bytes},
            {"session_cpu_ms", outcome.usage.session_cpu_ms}}},
          {"skipped", std::move(skipped)},
          {"removed", outcome.removed},
          {"isolation", outcome.isolation},
          {"weakened", outcome.weakened}};
}

}  // namespace carrel::gateway::openai::render
