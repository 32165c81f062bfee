#pragma once

#include <string>
#include <vector>

namespace regroup::testing {

/// How a family writes conversations down, in its template's style.
struct ChatStyle {
  std::string name;
  std::string source;
};

/// The formats that most models use, and what the language has beyond them.
inline std::vector<ChatStyle> chat_styles() {
  return {
      {"ChatML", R"({%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})"},
      {"ChatML with a default system text",
       R"({% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You help.<|im_end|>
' }}{% endif %}{{ '<|im_start|>' + m['role'] + '
' + m['content'] + '<|im_end|>' + '
' }}{% endfor %})"},
      {"Llama 2", R"({% if messages[0]['role'] == 'system' %}
  {% set rest = messages[1:] %}
  {% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}
{% else %}
  {% set rest = messages %}
  {% set system = '' %}
{% endif %}
{% for message in rest %}
  {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
    {{ raise_exception('roles must alternate') }}
  {% endif %}
  {% if message['role'] == 'user' %}
    {{ bos_token + '[INST] ' + (system if loop.index0 == 0 else '') + message['content'].strip() + ' [/INST]' }}
  {% else %}
    {{ ' ' + message['content'] | trim + ' ' + eos_token }}
  {% endif %}
{% endfor %})"},
      {"Llama 3",
       R"({% set loop_messages = messages %}{% for message in loop_messages %}{% set content =
 '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}
{%- if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %})"},
      {"Llama 3.1", R"({{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{{- "Today: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- set call = message.tool_calls[0].function %}
        {{- '{"name": "' + call.name + '", "parameters": ' }}{{ call.arguments | tojson }}{{ "}" }}
    {%- else %}
        {{- message.content | tojson(indent=2) }}
    {%- endif %}
{%- endfor %})"},
      {"Phi-3",
       R"({{ bos_token }}{% for message in messages %}{% if (message['role'] in ['user', 'system']) %}{{'<|' +
message['role'] + '|>' + '\n' + message['content'] + '<|end|>' + '\n'}}{% elif message['role'] == 'assistant' %}{{ '<|assistant|>\n' +
message['content'] + '<|end|>\n' }}{% endif %}{% endfor %})"},
      {"Gemma",
       R"({{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}
{%- for message in messages %}
{%- if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}
{{- '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}
{%- endfor %})"},
      {"Zephyr", R"({% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %})"},
      {"Qwen3",
       R"({%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool') and message.content.endswith('>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- set reasoning = '' %}
    {%- if '</think>' in content %}
        {%- set reasoning = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\n') %}
    {%- endif %}
    {%- if message.role == 'assistant' and loop.index0 > ns.last_query_index and (loop.last or reasoning) %}
        {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' + content }}
    {%- endif %}
    {{- '<|im_end|>\n' }}
{%- endfor %})"},
      {"the language", R"(
{# a comment #}
{%- macro shown(x, mark='*', n=2) %}{{ mark * 0 if false else mark }}{{ x|upper }}{{ n + 1 }}{% endmacro %}
{{- shown('a') }} {{ shown('b', mark="'", n=7 // 2) }}
{% set parts = [1, 2.5, 'x', none, true, {'k': [1, 'it''s']}] %}
{{ parts }} {{ parts|length }} {{ parts[-1].k[0] }} {{ parts[1:3] }} {{ 'häé'[::-1] }} {{ "häé"|length }}
{% for k, v in {'a': 1, 'b': 2}.items() if v > 1 %}{{ loop.index }}{{ k }}={{ v }}{% else %}none{% endfor %}

{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{{ ", " if not loop.last }}{% endfor %}
{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 3 * 2 }} {{ (1 + 2) ~ 'x' }} {{ -1|abs }} {{ 'ab' 'cd' }}
{{ messages | map(attribute='role') | join(', ') }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }}
{{ messages | rejectattr('role', 'in', ['user', 'tool']) | map(attribute='content', default='-') | first | default('nothing') }}
{{ nothing is defined }} {{ nothing | default('d') }} {{ '' or 'e' }} {{ '' | default('f', true) }} {{ none is none }}
{{ 'a-b-c'.split('-') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'aXbX'.replace('X', 'y') }} {{ 'the end'.title() }}
{{ {'b': 1, 'a': [true, none, "ü\n"]} | tojson }} {{ [1, {'x': 2}] | tojson(indent=2) }}
{%+ if true %}   kept{% endif +%}

{{ "x\ny" | indent(2) }}{{ "{{" }}{{ '%}' }} {{ {'a': {}} }} {{ (1, 2) | list }} {{ 3 is odd }} {{ 4 is divisibleby 2 }}
{% set text %}block {{ 1 + 1 }}{% endset %}{{ text | trim }} {{ not true and false }} {{ 'b' in 'abc' and 'z' not in 'abc' }}
{% generation %}{{ messages[-1].content | trim }}{% endgeneration %}
{{ "a\
b\u00e9\x41\q\'\U0001F642" }}
{{ '\u3000a\u00a0b\u2009' | trim }}|{{ 'あ。。'.strip('。') }}|{{ ' a '.strip('') }}|{{ 'a\u3000b  c'.split() }} {{ 'xax'.strip('x') }}
{{ 2 ** 10 }} {{ 2 ** -1 }} {{ '3.7' | int }} {{ 'x' | int(5) }} {{ "it's 2nd-hand (new) x" | title }} {{ "it's" .title() }}
{{ {'a': 1, 'b': [2]} == {'b': [2], 'a': 1} }} {{ true is number }} {{ nothing is sequence }} {{ ['a', none] | map('default', 'z', true) | join('/') }}
{{ [[1, 2], [3]] | map('join', '+') | list }} {{ (1, 2, 3)[::-1] | list }} {{ messages[-1].get('content') is defined }}
{{ dict(a=1).get('b', 'no') }} {{ 'a' if 1 > 2 }}| {{ 1 == 1.0 }} {{ "10" | int + 1 }} {{ messages[0].absent }}|
)"},
  };
}

}  // namespace regroup::testing
