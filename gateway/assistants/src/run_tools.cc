// The tool calls of an answer: carried out, asked of the client, or sent back to the model to be mended.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gateway/tools/tool_text.h"
#include "run_stepper.h"

namespace carrel::gateway {
namespace {

constexpr int kSearchResultsDefault = 20;
// Of one call; the whole of it is in the finished step.
constexpr std::size_t kLogsShownBytesMax = std::size_t{1} << 20;

}  // namespace

const Tool* RunStepper::FindTool(ToolKind kind, const std::string& function_name) const {
  const auto found = std::find_if(s_.run.tools.begin(), s_.run.tools.end(), [&](const Tool& tool) {
    return tool.kind == kind && (kind != ToolKind::kFunction || tool.function.name == function_name);
  });
  return found == s_.run.tools.end() ? nullptr : &*found;
}

void RunStepper::StartTools() {
  for (CallDraft& draft : s_.calls) {
    if (draft.position < 0) {  // a call without a name
      draft.call.function_name = "unnamed";
      ShowCall(draft);
      ShowArguments(draft, draft.arguments);
    }
  }
  // The model may have begun its calls in any order.
  std::sort(s_.calls.begin(), s_.calls.end(),
            [](const CallDraft& a, const CallDraft& b) { return a.position < b.position; });
  ++s_.op;
  s_.phase = RunPhase::kTools;
  s_.running_code.reset();
  const std::size_t stored_at = effects_.size();
  for (std::size_t i = 0; i < s_.calls.size(); ++i) StartCall(i);
  StartCode();
  s_.tools_step->tool_calls.clear();
  for (const CallDraft& draft : s_.calls) s_.tools_step->tool_calls.push_back(draft.call);
  // Before anything is carried out.
  effects_.insert(effects_.begin() + static_cast<std::ptrdiff_t>(stored_at), KeepStep{.step = *s_.tools_step});
  if (std::all_of(s_.calls.begin(), s_.calls.end(), [](const CallDraft& d) { return d.broken; })) {
    ++s_.broken_rounds;
  } else {
    s_.broken_rounds = 0;
  }
  if (s_.broken_rounds >= limits_.broken_rounds_max) {
    Fail({.message = absl::StrCat("The model called tools wrongly ", s_.broken_rounds, " times in a row.")});
    return;
  }
  ToolsMayBeDone();
}

void RunStepper::StartCall(std::size_t index) {
  CallDraft& draft = s_.calls[index];
  switch (draft.call.kind) {
    case ToolKind::kCodeInterpreter: {
      auto code = ReadCode(draft.arguments);
      if (!code.ok()) {
        AnswerWrongCall(draft, code.status());
        return;
      }
      // What was shown while it came is its beginning, unless the member stood there twice.
      if (code->starts_with(draft.call.code) && code->size() > draft.call.code.size()) {
        Event(RunEventKind::kStepDelta, StepDelta{.step_id = s_.tools_step->id,
                                                  .index = draft.position,
                                                  .kind = ToolKind::kCodeInterpreter,
                                                  .code = code->substr(draft.call.code.size())});
      }
      draft.call.code = *std::move(code);
      return;
    }
    case ToolKind::kFileSearch: {
      auto queries = ReadQueries(draft.arguments);
      if (!queries.ok()) {
        AnswerWrongCall(draft, queries.status());
        return;
      }
      const Tool* tool = FindTool(ToolKind::kFileSearch, "");
      Do(RunSearch{.op = s_.op,
                   .call = index,
                   .queries = *std::move(queries),
                   .max_results = tool->file_search.max_num_results.value_or(kSearchResultsDefault),
                   .ranking = tool->file_search.ranking});
      return;
    }
    case ToolKind::kFunction:
      if (draft.arguments.empty()) {  // how some models call a function without parameters
        draft.arguments = "{}";
        ShowArguments(draft, draft.arguments);
      }
      if (FindTool(ToolKind::kFunction, draft.call.function_name) == nullptr) {
        std::string names;
        for (const Tool& tool : s_.run.tools) {
          absl::StrAppend(&names, names.empty() ? "" : ", ",
                          tool.kind == ToolKind::kCodeInterpreter ? kCodeToolName
                          : tool.kind == ToolKind::kFileSearch    ? kSearchToolName
                                                                  : tool.function.name.c_str());
        }
        AnswerWrongCall(draft,
                        absl::InvalidArgumentError(absl::StrCat(
                            "Error: there is no tool '", draft.call.function_name, "'. ",
                            names.empty() ? "Answer without tools." : absl::StrCat("The tools are: ", names, "."))));
      } else if (const absl::Status status = CheckArguments(draft.arguments); !status.ok()) {
        AnswerWrongCall(draft, status);
      }
      return;
  }
}

void RunStepper::AnswerWrongCall(CallDraft& draft, const absl::Status& wrong) {
  draft.broken = true;
  const std::string text(wrong.message());
  if (draft.call.kind == ToolKind::kFunction) draft.call.output = text;
  if (draft.call.kind == ToolKind::kCodeInterpreter) {
    draft.call.code_outputs = {{.kind = CodeOutput::Kind::kLogs, .logs = text}};
    ShowOutputs(draft, draft.call.code_outputs, 0);
  }
  Answer(draft, text);
}

void RunStepper::Answer(CallDraft& draft, std::string text) {
  draft.settled = true;
  draft.answer = std::move(text);
}

void RunStepper::StartCode() {
  if (s_.running_code.has_value()) return;
  const auto next = std::find_if(s_.calls.begin(), s_.calls.end(), [](const CallDraft& d) {
    return d.call.kind == ToolKind::kCodeInterpreter && !d.settled;
  });
  if (next == s_.calls.end()) return;
  s_.running_code = next - s_.calls.begin();
  Do(RunCode{.op = s_.op, .call = *s_.running_code, .code = next->call.code});
}

void RunStepper::ShowOutputs(CallDraft& draft, std::vector<CodeOutput> outputs, int first_index) {
  if (outputs.empty()) return;
  Event(RunEventKind::kStepDelta, StepDelta{.step_id = s_.tools_step->id,
                                            .index = draft.position,
                                            .kind = ToolKind::kCodeInterpreter,
                                            .output_index = first_index,
                                            .outputs = std::move(outputs)});
}

void RunStepper::On(CodeSaid input) {
  if (s_.phase != RunPhase::kTools || input.op != s_.op || s_.running_code != input.call) return;
  CallDraft& draft = s_.calls[input.call];
  if (input.logs.empty() || draft.logs_shown.size() + input.logs.size() > kLogsShownBytesMax) return;
  draft.logs_shown += input.logs;
  ShowOutputs(draft, {{.kind = CodeOutput::Kind::kLogs, .logs = std::move(input.logs)}}, 0);
}

void RunStepper::On(CodeEnded input) {
  if (s_.phase != RunPhase::kTools || input.op != s_.op || s_.running_code != input.call) return;
  s_.running_code.reset();
  if (!input.outcome.ok()) {
    Fail({.message = absl::StrCat("The code could not be run: ", input.outcome.status().message())});
    return;
  }
  CallDraft& draft = s_.calls[input.call];
  CodeOutcome& outcome = *input.outcome;
  std::vector<CodeOutput>& outputs = draft.call.code_outputs;
  if (!outcome.text.empty()) outputs.push_back({.kind = CodeOutput::Kind::kLogs, .logs = outcome.text});
  if (outcome.text.starts_with(draft.logs_shown) && outcome.text.size() > draft.logs_shown.size()) {
    ShowOutputs(draft, {{.kind = CodeOutput::Kind::kLogs, .logs = outcome.text.substr(draft.logs_shown.size())}}, 0);
  }
  const int first_image = static_cast<int>(outputs.size());
  for (const FileId& image : outcome.images) {
    outputs.push_back({.kind = CodeOutput::Kind::kImage, .image = image});
    s_.images.push_back(image);
  }
  ShowOutputs(draft, {outputs.begin() + first_image, outputs.end()}, first_image);
  for (const WrittenFile& file : outcome.files) s_.links[file.path] = file.file_id;
  draft.call.written_files = std::move(outcome.files);
  draft.call.ending = std::move(outcome.ending);
  Answer(draft, CodeText(draft.call, outcome.state_lost));
  StartCode();
  ToolsMayBeDone();
}

void RunStepper::On(SearchEnded input) {
  if (s_.phase != RunPhase::kTools || input.op != s_.op || input.call >= s_.calls.size()) return;
  CallDraft& draft = s_.calls[input.call];
  if (draft.settled) return;
  if (!input.results.ok()) {
    Fail({.message = absl::StrCat("The documents could not be searched: ", input.results.status().message())});
    return;
  }
  draft.call.search_results = *std::move(input.results);
  const int search = s_.searches++;
  for (std::size_t i = 0; i < draft.call.search_results.size(); ++i) {
    const SearchResult& result = draft.call.search_results[i];
    s_.citations[Marker(search, i, result.file_name)] = {
        .file_id = result.file_id, .citation = result.BestCitation(), .score = result.score};
  }
  Answer(draft, SearchText(search, draft.call.search_results));
  ToolsMayBeDone();
}

void RunStepper::ToolsMayBeDone() {
  std::vector<ToolCall> for_client;
  for (const CallDraft& draft : s_.calls) {
    if (draft.settled) continue;
    if (draft.call.kind != ToolKind::kFunction) return;  // still at work
    for_client.push_back(draft.call);
  }
  if (for_client.empty()) {
    FinishToolsStep();
    NextTurn();
    return;
  }
  s_.tools_step->tool_calls.clear();
  for (const CallDraft& draft : s_.calls) s_.tools_step->tool_calls.push_back(draft.call);
  Do(KeepStep{.step = *s_.tools_step});
  s_.run.required_calls = std::move(for_client);
  s_.run.status = RunStatus::kRequiresAction;
  s_.phase = RunPhase::kRequiresAction;
  Event(RunEventKind::kRunRequiresAction, s_.run, /*when_durable=*/true);
  Do(ReleaseWorker{});
}

void RunStepper::FinishToolsStep() {
  std::vector<ToolCall> calls;
  std::vector<std::string> answers;
  std::vector<std::string> arguments;
  for (CallDraft& draft : s_.calls) {
    arguments.push_back(draft.broken && !CheckArguments(draft.arguments).ok() ? WriteBrokenArguments(draft.arguments)
                                                                              : draft.arguments);
    answers.push_back(std::move(draft.answer));
    calls.push_back(draft.call);
  }
  s_.tools_step->tool_calls = calls;
  CompleteStep(*s_.tools_step);
  s_.tools_step.reset();
  AppendTurn(s_, s_.said, calls, answers, arguments);
  s_.calls.clear();
}

}  // namespace carrel::gateway
