#include "new_run.h"

namespace carrel::gateway {

Run MakeRun(const Assistant& assistant, const NewRun& request, absl::Time now) {
  Run run;
  run.project = assistant.project;
  run.assistant_id = assistant.id;
  run.created_at = now;
  run.expires_at = now + kRunLifetime;
  run.model = request.model.value_or(assistant.model);
  run.instructions = request.instructions.value_or(assistant.instructions.value_or(""));
  if (request.additional_instructions.has_value() && !request.additional_instructions->empty()) {
    if (!run.instructions.empty()) run.instructions += "\n\n";
    run.instructions += *request.additional_instructions;
  }
  run.tools = request.tools.value_or(assistant.tools);
  run.tool_resources = request.tool_resources.value_or(ToolResources{});
  for (const AssistantFile& file : assistant.files) run.files.push_back(file.file_id);
  run.metadata = request.metadata;
  run.temperature = request.temperature.value_or(assistant.temperature);
  run.top_p = request.top_p.value_or(assistant.top_p);
  run.reasoning_effort = request.reasoning_effort.has_value() ? request.reasoning_effort : assistant.reasoning_effort;
  run.max_completion_tokens = request.max_completion_tokens;
  run.max_prompt_tokens = request.max_prompt_tokens;
  run.truncation = request.truncation;
  run.tool_choice = request.tool_choice;
  run.parallel_tool_calls = request.parallel_tool_calls;
  run.response_format = request.response_format.value_or(assistant.response_format);
  return run;
}

}  // namespace carrel::gateway
