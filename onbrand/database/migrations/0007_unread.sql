-- How much of the prompt's end the model could not read, in code points; `prompt_truncated` says whether any.

alter table job add column prompt_ignored smallint check (prompt_ignored between 0 and 500);
