"""Which node kinds of each grammar name something worth telling, as data.

The kinds are those of the tree-sitter grammars' `node-types.json`.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Kinds:
    """How to read one language's syntax tree.

    Attributes:
        named: node kind to the heading its name is listed under; the name is the node's `name` field.
        special: node kind to the reader of `understudy.actors.embedded.names` that knows its shape.
        wrappers: kinds whose children count as if they stood at the top.
        deep: wrappers opened only when nothing is found without them.
        members: kinds of methods in a class body.
        imports: kinds of import statements.
        quiet: kinds that may stand between a comment and what it is about.
        docstrings: documentation is the first string of a body, not the comment before it.
    """

    named: dict[str, str]
    special: dict[str, str] = field(default_factory=dict)
    wrappers: frozenset[str] = frozenset()
    deep: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()
    quiet: frozenset[str] = frozenset()
    docstrings: bool = False


COMMENTS = frozenset({"comment", "line_comment", "block_comment"})


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_JAVASCRIPT = Kinds(
    named={
        "class_declaration": "Classes",
        "abstract_class_declaration": "Classes",
        "function_declaration": "Functions",
        "generator_function_declaration": "Functions",
        "function_signature": "Functions",
        "interface_declaration": "Interfaces",
        "type_alias_declaration": "Types",
        "enum_declaration": "Enums",
    },
    special={
        "lexical_declaration": "variables",
        "variable_declaration": "variables",
        "assignment_expression": "exports",
        "class": "inner",
    },
    wrappers=_set(
        "export_statement expression_statement ambient_declaration internal_module module statement_block "
        "function_expression_body ERROR"
    ),
    deep=_set(
        "call_expression parenthesized_expression function_expression arrow_function unary_expression arguments "
        "sequence_expression object pair return_statement"
    ),
    members=_set("method_definition method_signature public_field_definition abstract_method_signature"),
    imports=_set("import_statement"),
    quiet=_set("decorator"),
)

_C = Kinds(
    named={
        "struct_specifier": "Structs",
        "union_specifier": "Structs",
        "enum_specifier": "Enums",
        "class_specifier": "Classes",
        "concept_definition": "Types",
        "alias_declaration": "Types",
        "preproc_function_def": "Macros",
    },
    special={
        "function_definition": "declarator",
        "declaration": "declarator",
        "type_definition": "typedef",
        "preproc_def": "define",
    },
    wrappers=_set(
        "preproc_ifdef preproc_if preproc_else preproc_elif linkage_specification declaration_list "
        "namespace_definition template_declaration ERROR"
    ),
    members=_set("function_definition field_declaration declaration"),
    imports=_set("preproc_include"),
    quiet=_set("attribute_declaration attribute_specifier ms_declspec_modifier template_parameter_list"),
)

KINDS = {
    "python": Kinds(
        named={"class_definition": "Classes", "function_definition": "Functions"},
        special={"assignment": "assignment", "type_alias_statement": "alias"},
        wrappers=_set(
            "decorated_definition expression_statement if_statement try_statement else_clause elif_clause "
            "except_clause finally_clause with_statement block ERROR"
        ),
        members=_set("function_definition decorated_definition"),
        imports=_set("import_statement import_from_statement"),
        docstrings=True,
    ),
    "javascript": _JAVASCRIPT,
    "typescript": _JAVASCRIPT,
    "tsx": _JAVASCRIPT,
    "go": Kinds(
        named={"function_declaration": "Functions"},
        special={
            "type_spec": "go_type",
            "type_alias": "go_type",
            "method_declaration": "go_method",
            "const_spec": "constant",
        },
        wrappers=_set("type_declaration const_declaration ERROR"),
        imports=_set("import_declaration"),
    ),
    "rust": Kinds(
        named={
            "struct_item": "Structs",
            "union_item": "Structs",
            "enum_item": "Enums",
            "trait_item": "Traits",
            "type_item": "Types",
            "function_item": "Functions",
            "function_signature_item": "Functions",
            "macro_definition": "Macros",
            "mod_item": "Modules",
            "const_item": "Constants",
            "static_item": "Constants",
        },
        special={"impl_item": "rust_impl"},
        wrappers=_set("ERROR foreign_mod_item"),
        members=_set("function_item function_signature_item"),
        imports=_set("use_declaration extern_crate_declaration"),
        quiet=_set("attribute_item"),
    ),
    "java": Kinds(
        named={
            "class_declaration": "Classes",
            "record_declaration": "Records",
            "interface_declaration": "Interfaces",
            "annotation_type_declaration": "Interfaces",
            "enum_declaration": "Enums",
            "method_declaration": "Methods",
        },
        wrappers=_set("ERROR"),
        members=_set("method_declaration"),
        imports=_set("import_declaration"),
    ),
    "c": _C,
    "cpp": _C,
    "bash": Kinds(
        named={"function_definition": "Functions"},
        special={"variable_assignment": "constant", "command": "sourced"},
        wrappers=_set("declaration_command if_statement ERROR"),
    ),
    "ruby": Kinds(
        named={
            "module": "Modules",
            "class": "Classes",
            "method": "Functions",
            "singleton_method": "Functions",
        },
        special={"assignment": "assignment", "call": "required"},
        wrappers=_set("module body_statement begin_block ERROR"),
        members=_set("method singleton_method"),
    ),
    "c-sharp": Kinds(
        named={
            "class_declaration": "Classes",
            "struct_declaration": "Structs",
            "record_declaration": "Records",
            "interface_declaration": "Interfaces",
            "enum_declaration": "Enums",
            "delegate_declaration": "Types",
            "method_declaration": "Methods",
        },
        wrappers=_set("namespace_declaration file_scoped_namespace_declaration declaration_list ERROR"),
        members=_set("method_declaration"),
        imports=_set("using_directive"),
    ),
    "php": Kinds(
        named={
            "class_declaration": "Classes",
            "interface_declaration": "Interfaces",
            "trait_declaration": "Traits",
            "enum_declaration": "Enums",
            "function_definition": "Functions",
            "method_declaration": "Methods",
        },
        special={"const_element": "first_name"},
        wrappers=_set("namespace_definition compound_statement const_declaration if_statement ERROR"),
        members=_set("method_declaration"),
        imports=_set("namespace_use_declaration"),
    ),
}
