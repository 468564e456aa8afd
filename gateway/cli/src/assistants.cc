// carrel assistants create, list, show and delete.
#include "api_command.h"
#include "assistant_objects.h"
#include "cli/commands.h"
#include "strings.h"

namespace carrel::cli {
namespace {

std::string AssistantLine(const Json& assistant) {
  std::string tools;
  for (const Json& tool : Below(assistant, "tools")) StrAppend(&tools, tools.empty() ? "  " : ", ", Text(tool, "type"));
  const std::string name = Text(assistant, "name");
  return StrCat(Text(assistant, "id"), "  ", name.empty() ? "-" : SafeText(name, false), "  ",
                SafeText(Text(assistant, "model"), false), SafeText(tools, false));
}

}  // namespace

ExitCode AssistantsCreate(const CommonOptions& common, const AssistantOptions& options, Console& console) {
  return WithApi(common, console, [&](ApiClient& api) -> absl::StatusOr<ExitCode> {
    const auto assistant = CreateAssistant(api, options);
    if (!assistant.ok()) return assistant.status();
    console.PrintJsonText(Dump(*assistant));
    console.Print(Text(*assistant, "id"));
    return ExitCode::kOk;
  });
}

ExitCode AssistantsList(const CommonOptions& common, Console& console) {
  return WithApi(common, console, [&](ApiClient& api) -> absl::StatusOr<ExitCode> {
    const auto assistants = api.List("/v1/assistants", "order=asc");
    if (!assistants.ok()) return assistants.status();
    for (const Json& assistant : *assistants) {
      console.PrintJsonText(Dump(assistant));
      console.Print(AssistantLine(assistant));
    }
    if (assistants->empty()) console.Say("there is no assistant: `carrel assistants create --model MODEL` makes one");
    return ExitCode::kOk;
  });
}

ExitCode AssistantsShow(const CommonOptions& common, const AssistantOptions& options, Console& console) {
  return WithApi(common, console, [&](ApiClient& api) -> absl::StatusOr<ExitCode> {
    const auto assistant = FindAssistant(api, options.assistant);
    if (!assistant.ok()) return assistant.status();
    console.PrintJsonText(Dump(*assistant));
    console.Print(AssistantLine(*assistant));
    const std::string instructions = Text(*assistant, "instructions");
    if (!instructions.empty()) console.Print(SafeText(instructions, /*keep_lines=*/true));
    return ExitCode::kOk;
  });
}

ExitCode AssistantsDelete(const CommonOptions& common, const AssistantOptions& options, Console& console) {
  return WithApi(common, console, [&](ApiClient& api) -> absl::StatusOr<ExitCode> {
    const auto assistant = FindAssistant(api, options.assistant);
    if (!assistant.ok()) return assistant.status();
    const auto deleted = api.Delete(StrCat("/v1/assistants/", EncodeUrl(Text(*assistant, "id"))));
    if (!deleted.ok()) return deleted.status();
    console.PrintJsonText(Dump(*deleted));
    console.Print(StrCat("deleted ", Text(*assistant, "id")));
    return ExitCode::kOk;
  });
}

}  // namespace carrel::cli
