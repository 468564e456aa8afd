// Each object as JSON, for whoever puts it into an answer, a list or an event.
#pragma once

#include <optional>
#include <vector>

#include "gateway/openai/responses.h"
#include "gateway/types/assistant.h"
#include "gateway/types/file.h"
#include "gateway/types/run.h"
#include "gateway/types/thread.h"
#include "gateway/types/tool.h"
#include "json_parts.h"

namespace carrel::gateway::openai::render {

// tools.cc
Json Of(const RankingOptions& ranking, bool hybrid);
Json Of(const Tool& tool, const View& view);
Json Of(const std::vector<Tool>& tools, const View& view);
Json Of(const ToolResources& resources);
Json Of(const ResponseFormat& format);
Json Of(const ToolChoice& choice);

// more.cc: what stands in "x_carrel".
Json CitationOf(const Citation& citation);
Json MoreOf(const SearchResult& result);
Json MoreOf(const Annotation& annotation);
Json MoreOf(const VectorStoreFile& file);
Json MoreOf(const Outcome& outcome);
Json MoreOf(const StoreModel& model);
Json MoreOf(const SearchTimes& times);

// conversations.cc
Json Of(const Assistant& assistant, const View& view);
Json Of(const Thread& thread, const View& view);
Json Of(const Annotation& annotation, const View& view);
Json Of(const ContentPart& part, const View& view);
Json Of(const Message& message, const View& view);

// runs.cc
Json Of(const std::optional<LastError>& error);
Json Of(const std::optional<TokenUsage>& usage);
Json Of(const Run& run, const View& view);
Json Of(const CodeOutput& output);
Json Of(const SearchResult& result, const View& view);
Json Of(const ToolCall& call, const View& view);
Json Of(const RunStep& step, const View& view);

// stores.cc
Json Of(const FileObject& file, const View& view);
Json Of(const FileCounts& counts);
Json Of(const VectorStore& store, const View& view);
Json Of(const std::optional<StoreFileError>& error);
Json Of(const VectorStoreFile& file, const View& view);
Json Of(const FileBatch& batch, const View& view);

// events.cc
Json Of(const MessageDelta& delta, const View& view);
Json Of(const StepDelta& delta, const View& view);

}  // namespace carrel::gateway::openai::render
