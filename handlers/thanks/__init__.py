"""Thank-you notes: one a sale, to every buyer or at milestones."""
